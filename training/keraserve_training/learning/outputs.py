"""The kinds of last layer, with the loss, the metrics and the class probabilities of each."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Output = Literal["softmax", "sigmoid", "logit", "reconstruction"]
"""What a network gives: K probabilities; the probability of the second of two classes; the same before the
sigmoid; or its own input, as float32 [N, H, W, C] from 0 to 1."""

_SMALLEST, _LEAST = (
    1e-30,
    1e-7,
)  # before a logarithm is taken: of a softmax; of a sigmoid, which comes as near to 1


def loss(output: Output, smoothing: float = 0.0) -> Any:
    """The Keras loss: cross-entropy in nats, or the mean squared difference between images from 0 to 1.

    `smoothing` is, for a softmax, the share of each label that is given to all classes alike (Szegedy et al.,
    2016, "Rethinking the Inception Architecture", arXiv 1512.00567).
    """
    from keras import losses, ops

    def smoothed(labels: Any, values: Any) -> Any:
        even: Any = ops.negative(ops.mean(ops.log(ops.maximum(values, _LEAST)), axis=-1))
        right: Any = losses.sparse_categorical_crossentropy(labels, values)
        return (1 - smoothing) * right + smoothing * even

    if smoothing:
        return smoothed
    return {
        "softmax": losses.SparseCategoricalCrossentropy,
        "sigmoid": losses.BinaryCrossentropy,
        "logit": lambda: losses.BinaryCrossentropy(from_logits=True),
        "reconstruction": losses.MeanSquaredError,
    }[output]()


def metrics(output: Output) -> list[Any]:
    """The Keras metrics besides the loss: the accuracy, where there are classes."""
    from keras import metrics

    if output == "reconstruction":
        return []
    if output == "softmax":
        return [metrics.SparseCategoricalAccuracy("accuracy")]
    return [metrics.BinaryAccuracy("accuracy", threshold=0.0 if output == "logit" else 0.5)]


def targets(output: Output, inputs: Any, labels: Any) -> Any:
    """What the loss compares the output with: the labels, or the images themselves from 0 to 1."""
    return inputs / 255.0 if output == "reconstruction" else labels


def classifier(classes: int) -> tuple[int, Output]:
    """Units and kind of the last layer that tells `classes` apart: one logit for two, else a softmax."""
    return (1, "logit") if classes == 2 else (classes, "softmax")


def probabilities(output: Output, values: Any, temperature: float = 1.0) -> Any:
    """The probabilities of all classes float32 [N, K], from a network's output [N, K or 1].

    Works on tensors and on arrays, so that the exported graph and the report use the same code. A
    `temperature` above 1 brings them nearer to each other: see `calibration`.
    """
    from keras import ops

    scaled: Any = values
    if output == "softmax":
        if temperature != 1:
            scaled = ops.softmax(ops.divide(ops.log(ops.maximum(values, _SMALLEST)), temperature))
        return scaled
    if output == "logit":
        scaled = ops.sigmoid(ops.divide(values, temperature))
    elif temperature != 1:
        clipped = ops.clip(values, _LEAST, 1 - _LEAST)
        logits = ops.subtract(ops.log(clipped), ops.log1p(ops.negative(clipped)))
        scaled = ops.sigmoid(ops.divide(logits, temperature))
    return ops.concatenate([ops.subtract(1.0, scaled), scaled], axis=-1)


def cross_entropy(scores: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> float:
    """Mean of -ln(probability of the true class), in nats; clipped at 1e-7, as in Keras."""
    right = scores[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(right, 1e-7, 1.0)).mean())
