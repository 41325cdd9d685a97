"""Measure how much features differ from image to image, and build a layer that standardises them.

The features of random weights can have a deviation of 3e-16. No head learns from those, so unless they are
standardised, a comparison with them does not show what pre-training is worth.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keraserve_training.data.examples import Examples

if TYPE_CHECKING:
    import keras

_ENOUGH = 1_000  # examples to measure


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of every channel over examples and places, float64 [C]."""

    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]

    @property
    def median(self) -> float:
        """The median of the deviations."""
        return float(np.median(self.deviation))


def spread(features: Examples) -> Spread:
    """Measure stored features, [h, w, C] each, on up to 1,000 of them, evenly spread."""
    from keraserve_training.learning.feed import evaluation_batch

    places = np.linspace(0, len(features) - 1, min(_ENOUGH, len(features))).astype(np.int64)
    batches = features.batches(places, evaluation_batch(features.shape))
    values: Any = [batch.numpy().astype(np.float64).reshape(-1, features.shape[-1]) for batch, _ in batches]
    count = sum(len(batch) for batch in values)
    mean = np.add.reduce([batch.sum(axis=0) for batch in values]) / count
    squares = np.add.reduce([np.square(batch - mean).sum(axis=0) for batch in values])
    return Spread(mean, np.sqrt(squares / count))


def layer(found: Spread) -> "keras.Layer":
    """A layer after which every channel has a mean of 0 and a deviation of 1; a constant one becomes 0."""
    from keras import layers

    scale = 1 / np.where(found.deviation > 0, found.deviation, 1.0)
    # Not `layers.Normalization`, which treats deviations below 1e-7 as 1e-7.
    return layers.Rescaling(scale.tolist(), offset=(-found.mean * scale).tolist(), name="standardised")
