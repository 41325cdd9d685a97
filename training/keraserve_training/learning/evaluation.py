"""Evaluate a network on test images: accuracy, loss, confusion matrix, and its most confident mistakes."""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keraserve_training.data.examples import Examples
from keraserve_training.learning import outputs

if TYPE_CHECKING:
    from keraserve_training.learning.fit import Trained

_MISTAKES = 9


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
    confident first. `predicted` int32 [N] is the class that the network gave each image.
    """

    accuracy: float
    loss: float
    images: int
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
    scores = np.asarray(outputs.probabilities(trained.output, values))
    predicted = scores.argmax(axis=-1)
    confusion = np.zeros((len(trained.labels),) * 2, np.int64)
    np.add.at(confusion, (examples.labels, predicted), 1)
    sure = scores.max(axis=-1)
    wrong = np.flatnonzero(predicted != examples.labels)
    surest = wrong[np.argsort(-sure[wrong], kind="stable")][:_MISTAKES]
    return Evaluation(
        accuracy=float(np.trace(confusion) / len(examples)),
        loss=outputs.cross_entropy(scores, examples.labels),
        images=len(examples),
        confusion=confusion,
        predicted=predicted.astype(np.int32),
        mistakes=tuple(
            Mistake(int(place), int(examples.labels[place]), int(predicted[place]), float(sure[place]))
            for place in surest
        ),
    )
