"""Maps of what decided, of a network that takes images: those that its exported model gives."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keraserve_models.exporting import explaining

if TYPE_CHECKING:
    from keraserve_training.learning.fit import Trained


@dataclass(frozen=True)
class Maps:
    """What decided on the most probable class of N images.

    Attributes:
        maps: float32 [N, h, w], 0 to 1, of the places that speak for the class.
        classes: its number, int64 [N].
        probabilities: of it, float32 [N].
    """

    maps: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float32]


def maps(trained: "Trained", images: npt.NDArray[np.float32]) -> Maps | None:
    """Explain images [N, H, W, C], 0 to 255, as `trained` takes them; None: the network has no maps."""

    @tf.autograph.experimental.do_not_convert
    def explained(pixels: Any) -> Any:
        scores = trained.probabilities(trained.model(pixels, training=False))
        best = tf.argmax(scores, axis=-1)
        found = explaining.explain(pixels, scores, tf.one_hot(best, len(trained.labels)))
        return found.maps, best, tf.reduce_max(scores, axis=-1)

    try:
        results = tf.function(explained)(tf.constant(images))
    except explaining.NoMapError:
        return None
    return Maps(*(np.asarray(each) for each in results))
