"""Batches for a network, in an order that depends on nothing but the seed and the epoch.

A `tf.data` iterator's own shuffling has hidden state that a killed run loses. Here the order of epoch e is a
permutation drawn from (seed, e), so a run that goes on at epoch e gets the batches of an uninterrupted one.
"""

from typing import Any

import numpy as np

from keraserve_training.data.examples import Examples

_EVALUATION_VALUES = 2_000_000  # a batch


class Feed:
    """Examples as `tf.data` batches of float32 [batch, *shape] and int32 [batch]."""

    def __init__(self, examples: Examples, batch: int) -> None:
        self._examples = examples
        self._batch = batch

    @property
    def steps(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return -(-len(self._examples) // self._batch)

    def epoch(self, seed: int, epoch: int) -> Any:
        """All examples once, in the order of this seed's epoch `epoch` (from 0)."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self._examples))
        return self._examples.batches(order, self._batch)

    def in_order(self) -> Any:
        """All examples once, in their own order."""
        return self._examples.batches(np.arange(len(self._examples)), self._batch)


def evaluation_batch(shape: tuple[int, ...]) -> int:
    """The size of a batch of inputs of `shape` outside training: smaller for large inputs, to save memory."""
    return max(1, min(500, _EVALUATION_VALUES // int(np.prod(shape))))
