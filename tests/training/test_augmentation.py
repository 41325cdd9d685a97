"""Flips, crops and shifts: what they keep, and that they follow from seed, epoch and batch alone."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from keraserve_training.learning import augmentation

pytestmark = pytest.mark.usefixtures("tensorflow")
Pixels = npt.NDArray[np.float32]


def _slopes(count: int) -> tuple[Pixels, Pixels]:
    """Images whose first channel is the place from left to right, the second from top to bottom, 0 to 1."""
    down, right = np.meshgrid(*[np.linspace(0, 1, 64, dtype=np.float32)] * 2, indexing="ij")
    image = np.stack([right, down, np.ones_like(right)], axis=-1)
    return np.repeat(image[None], count, axis=0), np.arange(count, dtype=np.int32)


def _epoch(seed: int, epoch: int) -> list[Pixels]:
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(_slopes(64)).batch(16)
    changed: Any = augmentation.augmented(batches, augmentation.flips_and_crops, seed, epoch)
    return [images.numpy() for images, _ in changed]


def test_flips_and_crops_show_a_large_part_of_the_image_to_the_edge_of_the_frame() -> None:
    images = np.concatenate(_epoch(1, 0))
    assert images.shape == (64, 64, 64, 3)
    np.testing.assert_allclose(images[..., 2], 1.0, atol=1e-5)  # nothing is filled in
    widths, heights = images[:, 0, -1, 0] - images[:, 0, 0, 0], images[:, -1, 0, 1] - images[:, 0, 0, 1]
    assert 16 < (widths < 0).sum() < 48  # flipped from left to right
    assert (heights > 0).all()  # but never upside down
    area, shape = np.abs(widths) * heights, np.abs(widths) / heights
    assert 0.69 < area.min() < 0.75
    assert 0.9 < area.max() <= 1.0
    assert 0.84 < shape.min() < 0.95
    assert 1.05 < shape.max() < 1.19


def test_flips_and_shifts_move_by_whole_pixels() -> None:
    import tensorflow as tf

    images, _ = _slopes(200)
    changed = augmentation.flips_and_shifts(images * 63, tf.constant([1, 2], tf.int64)).numpy()
    assert changed.shape == images.shape
    across, down = changed[:, 31, 31, 0].round(), changed[:, 31, 31, 1].round()
    assert set(across - 31) == set(range(-2, 4))  # shifted, or flipped and shifted: the middle is between two
    assert set(down - 31) == set(range(-2, 3))
    turned = changed[:, 0, 63, 0] < changed[:, 0, 0, 0]
    assert 70 < turned.sum() < 130
    steps = np.abs(np.diff(changed[:, 31, 5:-5, 0], axis=1))
    np.testing.assert_allclose(steps, 1, atol=1e-3)


def test_the_random_numbers_follow_from_seed_epoch_and_batch() -> None:
    first = _epoch(1, 3)
    for ours, theirs in zip(first, _epoch(1, 3), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not np.array_equal(first[0], first[1])
    for other in (_epoch(1, 4), _epoch(2, 3)):
        assert not np.array_equal(first[0], other[0])
