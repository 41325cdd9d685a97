"""Temperature scaling: one number, fitted on validation images, by which probabilities become calibrated.

Guo et al., On Calibration of Modern Neural Networks, 2017. The most probable class stays the same.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from keraserve_training.learning import outputs
from keraserve_training.learning.outputs import Output

_TRIED = sorted(np.geomspace(0.1, 10.0, 301), key=lambda one: abs(np.log(one)))  # 1, then 1.5 % more or less


def temperature(output: Output, values: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> float:
    """The temperature, 0.1 to 10, with the least cross-entropy; of several the one nearest to 1.

    Where all images are right it is 1 or more: the surer, the less cross-entropy, without an end, so that it
    would be 0.1 and say nothing about other images.

    Args:
        output: the kind of last layer.
        values: what it gave for the validation images, [N, K or 1].
        labels: their classes, int32 [N].
    """

    def loss(tried: float) -> float:
        scores: Any = outputs.probabilities(output, values, tried)
        return outputs.cross_entropy(np.asarray(scores), labels)

    scores: Any = outputs.probabilities(output, values)
    all_right = bool((np.asarray(scores).argmax(axis=-1) == labels).all())
    return min((float(one) for one in _TRIED if one > 1 - 1e-9 or not all_right), key=loss)
