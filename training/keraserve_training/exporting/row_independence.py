"""Whether a version gives each row of a batch the result that it gives the row alone, measured on its files.

Servers merge the requests of several callers into one batch, and split long ones, only where a version says
that this changes nothing. A layer that uses the whole batch (a normalization that learns, a comparison of
rows) makes a difference, and no signature shows that.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import tensorflow as tf

from keraserve_protocol.signatures import CLASSIFY, DEFAULT_SIGNATURE, IMAGE_BYTES
from keraserve_training.data import procedural
from keraserve_training.exporting import warm_up

# Of a probability. In a batch of another size float32 sums are rounded differently, by up to 1e-5.
TOLERANCE = 1e-4
_DRAWN = 6
_SEED = 11


class Measured(TypedDict):
    """What the model card says; the difference is None where an output was not a number."""

    independent_rows: bool
    largest_row_difference: float | None


def measure(folder: Path, size: tuple[int, int], channels: int) -> Measured:
    """Run all three signatures of a SavedModel on a batch of unlike images, and on each image alone.

    Args:
        folder: the SavedModel.
        size: height and width of the images.
        channels: 1 or 3.

    Returns:
        The largest difference of a probability between both, and whether that is within `TOLERANCE`.
    """
    signatures = tf.saved_model.load(str(folder)).signatures
    images = _images(size, channels)
    largest = max(_difference(signatures[name], rows) for name, rows in _inputs(images).items())
    known = math.isfinite(largest)
    return {
        "independent_rows": known and largest <= TOLERANCE,
        "largest_row_difference": largest if known else None,
    }


def _images(size: tuple[int, int], channels: int) -> np.ndarray[Any, Any]:
    """Drawn images, a black one and a white one: unlike rows change statistics over the batch most."""
    drawn = procedural.images(_DRAWN, classes=_DRAWN, size=size, channels=channels, seed=_SEED).images
    shape = (1, *drawn.shape[1:])
    return np.concatenate([drawn, np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)])


def _inputs(images: np.ndarray[Any, Any]) -> Mapping[str, Any]:
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    return {
        DEFAULT_SIGNATURE: images,
        IMAGE_BYTES: np.array(encoded, object),
        CLASSIFY: np.array([warm_up.example(one) for one in encoded], object),
    }


def _difference(signature: Callable[..., Mapping[str, Any]], rows: Any) -> float:
    [name] = signature.structured_input_signature[1]  # type: ignore[attr-defined]

    def outputs(part: Any) -> list[Any]:
        results = signature(**{name: tf.constant(part)})
        return [results[key].numpy() for key in sorted(results) if results[key].dtype.is_floating]

    alone = [outputs(rows[place : place + 1]) for place in range(len(rows))]
    pairs = zip(outputs(rows), zip(*alone, strict=True), strict=True)
    return max(_largest(together, np.concatenate(each)) for together, each in pairs)


def _largest(together: Any, alone: Any) -> float:
    if together.shape != alone.shape or np.isnan(together).any() or np.isnan(alone).any():
        return math.inf
    return float(np.max(np.abs(together.astype(np.float64) - alone)))
