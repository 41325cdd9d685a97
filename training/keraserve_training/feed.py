"""Batches for a network, in an order that depends on the seed and the epoch and on nothing else.

A `tf.data` iterator's own shuffling hides state that a killed run loses. Here the order of epoch e is a
permutation drawn from (seed, e), so a run that goes on at epoch e sees what an undisturbed one would.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keraserve_training.pictures import Pictures

_AHEAD = 8  # batches prepared while the network works


class Feed:
    """Pictures in memory as `tf.data` batches of float32 [batch, H, W, C] (0 to 255) and int32 [batch]."""

    def __init__(self, pictures: Pictures, batch: int) -> None:
        self._images = tf.constant(pictures.images)
        self._labels = tf.constant(pictures.labels)
        self._count = len(pictures)
        self._batch = batch

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return -(-self._count // self._batch)

    def epoch(self, seed: int, epoch: int) -> Any:
        """All pictures once, in the order of this seed's epoch `epoch` (from 0)."""
        return self._batches(np.random.default_rng([seed, epoch]).permutation(self._count))

    def in_order(self) -> Any:
        """All pictures once, as they come."""
        return self._batches(np.arange(self._count))

    def _batches(self, order: npt.NDArray[np.int64]) -> Any:
        def gather(indices: Any) -> tuple[Any, Any]:
            images = tf.gather(self._images, indices)
            return tf.cast(images, tf.float32), tf.gather(self._labels, indices)

        return tf.data.Dataset.from_tensor_slices(order).batch(self._batch).map(gather).prefetch(_AHEAD)
