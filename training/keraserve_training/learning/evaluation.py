"""Evaluate a network on test images: accuracy, loss, confusion matrix, and its most confident mistakes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keraserve_protocol import evaluation
from keraserve_protocol.evaluation import Bin
from keraserve_training.data.examples import Examples
from keraserve_training.learning import outputs

if TYPE_CHECKING:
    from keraserve_training.learning.fit import Trained

_MISTAKES, _TOP = 9, 5


@dataclass(frozen=True)
class Mistake:
    """A misclassified test image: its index, its class, the predicted class, and that class's probability."""

    image: int
    true: int
    predicted: int
    probability: float


@dataclass(frozen=True)
class Evaluation:
    """The test of a network on N images.

    `confusion` int64 [K, K] has a row for each true class. `mistakes` are the most confident ones, the most
    confident first. `predicted` int32 [N] is the class that the network gave each image. `reliability` has a
    `Bin` for each range of probabilities, and `calibration_error` is the expected calibration error; the raw
    one is without the network's temperature, None where it has none. `top5_accuracy` is None for five classes
    or fewer.
    """

    accuracy: float
    loss: float
    images: int
    balanced_accuracy: float
    top5_accuracy: float | None
    calibration_error: float
    calibration_error_raw: float | None
    reliability: tuple[Bin, ...]
    confusion: npt.NDArray[np.int64]
    mistakes: tuple[Mistake, ...]
    predicted: npt.NDArray[np.int32]

    def record(self) -> dict[str, Any]:
        """The same in JSON's types, without `predicted`."""
        content = asdict(replace(self, predicted=self.predicted[:0]))
        del content["predicted"]
        return content | {"confusion": self.confusion.tolist()}


def evaluate(trained: "Trained", examples: Examples) -> Evaluation:
    """Test a classifier on examples, in their order."""
    from keraserve_training.learning.feed import Feed, evaluation_batch

    batches = Feed(examples, evaluation_batch(examples.shape)).in_order()
    values = trained.model.predict(batches, verbose=0)  # pyright: ignore
    scores = np.asarray(trained.probabilities(values))
    predicted = scores.argmax(axis=-1)
    confusion = np.zeros((len(trained.labels),) * 2, np.int64)
    np.add.at(confusion, (examples.labels, predicted), 1)
    sure = scores.max(axis=-1)
    wrong = np.flatnonzero(predicted != examples.labels)
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:_MISTAKES]
    figures = _figures(scores, examples.labels, trained.labels)
    raw = None
    if "temperature" in trained.result:
        untouched: Any = outputs.probabilities(trained.output, values)
        raw = _figures(np.asarray(untouched), examples.labels, trained.labels).calibration_error
    return Evaluation(
        accuracy=float(np.trace(confusion) / len(examples)),
        loss=outputs.cross_entropy(scores, examples.labels),
        images=len(examples),
        balanced_accuracy=figures.balanced_accuracy,
        top5_accuracy=figures.top5_accuracy,
        calibration_error=figures.calibration_error,
        calibration_error_raw=raw,
        reliability=tuple(figures.reliability),
        confusion=confusion,
        predicted=predicted.astype(np.int32),
        mistakes=tuple(
            Mistake(int(place), int(examples.labels[place]), int(predicted[place]), float(sure[place]))
            for place in surest
        ),
    )


def _figures(
    scores: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], names: Sequence[str]
) -> evaluation.Evaluation:
    """The figures of class probabilities, float32 [N, K], beside the true classes, int32 [N]."""
    in_top5 = None
    if len(names) > _TOP:
        true = scores[np.arange(len(labels)), labels][:, None]
        in_top5 = int(((scores > true).sum(axis=1) < _TOP).sum())
    truths, found = (np.array(names)[places].tolist() for places in (labels, scores.argmax(axis=-1)))
    return evaluation.Evaluation(truths, found, scores.max(axis=-1).tolist(), in_top5)
