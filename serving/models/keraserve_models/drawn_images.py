"""Images made on the spot, for tests and machines without data. They mean nothing and are labelled so."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_CELLS = 7  # a class is a coarse pattern of so many cells a side: learnable by any network in a few steps


def images(
    count: int, *, classes: int, size: tuple[int, int], channels: int, seed: int
) -> tuple[Array, Array]:
    """Draw `count` noisy images of `classes` patterns.

    The pattern of a class depends only on its number, so training and test images (other seeds) agree.

    Returns:
        `images` uint8 [count, height, width, channels], `labels` int32 [count], evenly spread and shuffled.
    """
    generator = np.random.default_rng(seed)
    patterns = np.random.default_rng(0).uniform(20, 235, (classes, _CELLS, _CELLS, channels))
    height, width = size
    rows = np.arange(height) * _CELLS // height
    columns = np.arange(width) * _CELLS // width
    labels = generator.permutation(np.arange(count) % classes).astype(np.int32)
    clean = patterns[labels][:, rows][:, :, columns]
    noisy = clean + generator.normal(0, 40, clean.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), labels
