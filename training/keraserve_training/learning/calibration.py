"""Temperature scaling: one number, fitted on validation images, by which probabilities become calibrated.

Guo et al., On Calibration of Modern Neural Networks, 2017. The most probable class stays the same.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from keraserve_training.learning import outputs
from keraserve_training.learning.outputs import Output

_TRIED = np.geomspace(0.1, 10.0, 301)  # 1 is one of them; the next one is 1.5 % more


def temperature(output: Output, values: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> float:
    """The temperature, 0.1 to 10, with the least cross-entropy.

    Args:
        output: the kind of last layer.
        values: what it gave for the validation images, [N, K or 1].
        labels: their classes, int32 [N].
    """

    def loss(tried: float) -> float:
        scores: Any = outputs.probabilities(output, values, tried)
        return outputs.cross_entropy(np.asarray(scores), labels)

    return min(map(float, _TRIED), key=loss)
