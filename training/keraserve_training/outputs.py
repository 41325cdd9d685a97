"""The kinds of last layer: the loss that trains each, and its probabilities."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Output = Literal["softmax", "sigmoid"]

LOSSES: dict[Output, str] = {
    "softmax": "sparse_categorical_crossentropy",
    "sigmoid": "binary_crossentropy",
}


def probabilities(output: Output, values: Any) -> Any:
    """Turn what the network gives [N, K or 1] into probabilities of all classes [N, K], float32.

    A sigmoid says how probable the second of two classes is. Works on tensors and on arrays, so that the
    exported graph and the report can't disagree.
    """
    if output == "softmax":
        return values
    from keras import ops

    return ops.concatenate([1.0 - values, values], axis=-1)


def cross_entropy(scores: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> float:
    """Mean of -ln(probability of the true class), in nats; clipped at 1e-7, as in Keras."""
    right = scores[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(right, 1e-7, 1.0)).mean())
