"""What the experiments of source document 000 share: the convolutional network, training, and sentences."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keraserve_training import settings as declare
from keraserve_training.learning.optimizers import optimizer as made
from keraserve_training.number_format import distance, duration, percent, points, value
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings
from keraserve_training.settings import Settings

if TYPE_CHECKING:
    import keras

    from keraserve_training.data.dataset import Dataset
    from keraserve_training.data.examples import Examples, Shown
    from keraserve_training.learning.fit import Phase, Trained
    from keraserve_training.run import Run


NETWORK = "cnn"
PLACES = ("conv 1", "conv 2", "pooling")
"""The layers of each of the two convolutional blocks, after which dropout can be put."""


@dataclass(frozen=True)
class Training(Settings):
    """How every classifier of the document learns: the same way, so that they can be compared."""

    epochs: int = declare.epochs(15, "Passes over all images.")
    learning_rate: float = declare.rate(0.01, "Learning rate.")
    optimizer: str = declare.optimizer("momentum")
    batch: int = declare.batch(128)
    units: int = declare.units(1024, "Units of the dense layer before the last one.")
    dropout: float = declare.dropout(0.5, "Share of those units that is dropped.")

    def phase(self) -> "Phase":
        """All epochs at the one rate."""
        from keraserve_training.learning.fit import Phase

        return Phase("trained", self.epochs, made(self.optimizer, self.learning_rate))


def train_network(
    run: "Run",
    data: "Dataset",
    settings: Training,
    name: str = NETWORK,
    build: "Callable[[], keras.Model] | None" = None,
    also_in: str | None = None,
) -> "Trained":
    """Train the document's network, or a variant that `build` makes, as the document does.

    The validation images are the test images: the document draws both curves, and nothing is chosen by them.
    """
    return run.fit(
        name,
        build=build or (lambda: convolutional_network(data, settings)),
        train=data.train,
        validation=data.test,
        phases=[settings.phase()],
        labels=data.classes,
        output="softmax",
        batch=settings.batch,
        also_in=also_in,
    )


def convolutional_network(
    data: "Dataset", settings: Training, places: Collection[str] = (), dropped: float = 0.0
) -> "keras.Model":
    """Make the network: float32 [N, 32, 32, 3], 0 to 255, to a probability for each class.

    Args:
        data: its images' shape and its classes shape the network.
        settings: of the dense layer.
        places: after which layers (`PLACES`) of both blocks activations are dropped.
        dropped: the share of them.
    """
    from keras import Input, Sequential, layers

    blocks: list[Any] = []
    for number, filters in enumerate((32, 64), 1):
        for place in PLACES:
            name = f"block{number}_{place.replace(' ', '')}"
            if place == "pooling":
                blocks.append(layers.MaxPooling2D(2, name=name))
            else:
                blocks.append(layers.Conv2D(filters, 3, padding="same", activation="relu", name=name))
            if place in places:
                blocks.append(layers.Dropout(dropped, name=f"{name}_dropout"))
    return Sequential(
        [
            Input(data.train.shape),
            layers.Rescaling(1 / 255),
            *blocks,
            layers.Flatten(),
            layers.Dense(settings.units, activation="relu"),
            layers.Dropout(settings.dropout),
            layers.Dense(len(data.classes), activation="softmax"),
        ]
    )


def accuracies(
    run: "Run", trained: "Trained", train: "Examples", test: "Examples", images: "Shown | None" = None
) -> dict[str, float]:
    """Accuracy on test and training examples, both without dropout, and their difference.

    `images` are the test images, where `test` holds features.
    """
    from keraserve_training.learning.evaluation import evaluate

    found, known = run.test(trained, test, images).accuracy, evaluate(trained, train).accuracy
    return {"test_accuracy": found, "training_accuracy": known, "gap": known - found}


def ahead(gap: float) -> str:
    """Say what the gap between training and test accuracy is."""
    return f"{distance(gap)} {'more' if gap >= 0 else 'less'} than of the test images"


def against(findings: Findings, network: str, other: str, other_network: str, what: str) -> str:
    """Compare `network` with `other_network` of the experiment `other` on the same test images, in words.

    `what` is the other network in words. Where there is no such run, the sentence says that.
    """
    theirs = findings.of(other)
    if theirs is None:
        return (
            f"{other}, {what}, has not run with these images, options and settings: there is nothing to"
            " compare with."
        )
    accuracy = theirs.metrics["test_accuracy"]
    gain = points(findings.metrics["test_accuracy"] - accuracy)
    pairs = evidence.pairs(theirs, other_network, findings, network, words=("there", "here"))
    return f"{other}, {what}, gets {percent(accuracy)} right: here it is {gain}. {pairs}"


def turning_point(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence when the test loss was lowest."""
    finite = [row for row in rows if math.isfinite(row["val_loss"])]
    if not finite:
        return "The test loss is not a number: the training diverged."
    best, last = min(finite, key=lambda row: row["val_loss"]), finite[-1]
    end = value(last["val_loss"], "loss")
    if best is last:
        return f"The test loss is lowest at the end ({end})."
    return (
        f"The test loss is lowest after epoch {best['epoch']:.0f} ({value(best['val_loss'], 'loss')}) and"
        f" ends at {end}."
    )


def per_epoch(findings: Findings, network: str) -> str:
    """The time of an epoch of one of a run's networks, for a sentence."""
    trained = findings.networks[network]
    return duration(trained["seconds"] / trained["epochs"])
