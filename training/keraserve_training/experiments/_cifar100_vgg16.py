"""What the experiments of source document 000 on VGG16 share: features, the head, and what goes wrong."""

import math
from typing import TYPE_CHECKING, Any

from keraserve_training.experiments._cifar100 import Training, accuracies, turning_point
from keraserve_training.number_format import distance, percent, value
from keraserve_training.records.findings import Findings

if TYPE_CHECKING:
    import keras

    from keraserve_training.data.dataset import Dataset
    from keraserve_training.data.examples import Examples
    from keraserve_training.learning.fit import Trained
    from keraserve_training.pretrained.features import Features
    from keraserve_training.run import Run


TAKES = ("data", "backbone", "alpha", "weights", "image_size", "mixed_precision", "strategy")
HEAD, CLASSIFIER = "head", "classifier"
SIZE = 32
_LITTLE, _MUCH, _WORSE = 0.1, 0.9, 1.05  # of units or points; of the loss of guessing
_LAG = 0.05


def features_of(run: "Run", model: "keras.Model", data: "Dataset") -> "tuple[Features, Features]":
    """A frozen network's features of the training and of the test images."""
    return run.features("train", model, data.train), run.features("test", model, data.test)


def train_head(
    run: "Run",
    name: str,
    features: "tuple[Features, Features]",
    data: "Dataset",
    settings: Training,
    *,
    normalised: bool,
) -> "Trained":
    """Train the document's head on stored features, those of the test images for validation."""
    from keras import Input, Sequential

    train, test = features
    return run.fit(
        name,
        build=lambda: Sequential(
            [Input(train.shape), *dense_layers(len(data.classes), settings, normalised=normalised)]
        ),
        train=train,
        validation=test,
        phases=[settings.phase()],
        labels=data.classes,
        output="softmax",
        batch=settings.batch,
    )


def dense_layers(classes: int, settings: Training, *, normalised: bool) -> "list[keras.Layer]":
    """The document's head, with or without BatchNormalization before and after its dense layer."""
    from keras import layers

    return [
        layers.Flatten(),
        *([layers.BatchNormalization()] if normalised else []),
        layers.Dense(settings.units, activation="relu", name="hidden"),
        *([layers.BatchNormalization()] if normalised else []),
        layers.Dropout(settings.dropout),
        layers.Dense(classes, activation="softmax", name="classes"),
    ]


def figures(
    run: "Run", trained: "Trained", features: "tuple[Features, Features]", data: "Dataset"
) -> dict[str, float]:
    """Test a head on its features; measure what can go wrong: their scale, its losses, its silent units."""
    train, test = features
    rows = trained.rows
    return {
        **accuracies(run, trained, train, test, data.test),
        **scale(train),
        "silent_units": silent_units(trained.model, test),
        "loss_first": rows[0]["loss"],
        "loss_last": rows[-1]["loss"],
        "test_accuracy_first": rows[0]["val_accuracy"],
        "classes": len(data.classes),
        "images": len(train) + len(test),
        "extraction_seconds": train.seconds + test.seconds,
        "seconds": trained.result["seconds"],
    }


def scale(features: "Examples") -> dict[str, float]:
    """The scale of features: their mean, standard deviation, maximum and share of zeros.

    And the standard deviations of single features over the images: their 5th and 95th percentile.
    """
    import numpy as np

    from keraserve_training.learning.feed import Feed, evaluation_batch

    totals: Any = np.zeros((2, math.prod(features.shape)))
    zeros, largest = 0, -math.inf
    for batch, _ in Feed(features, evaluation_batch(features.shape)).in_order():
        numbers = batch.numpy().reshape(len(batch), -1).astype(np.float64)
        totals += numbers.sum(axis=0), np.square(numbers).sum(axis=0)
        zeros += int((numbers == 0).sum())
        largest = max(largest, float(numbers.max()))
    means, squares = totals / len(features)
    single = np.sqrt(np.maximum(squares - np.square(means), 0))
    return {
        "feature_mean": float(means.mean()),
        "feature_deviation": float(np.sqrt(max(squares.mean() - means.mean() ** 2, 0))),
        "feature_largest": largest,
        "feature_zeros": zeros / (means.size * len(features)),
        "feature_deviation_low": float(np.quantile(single, 0.05)),
        "feature_deviation_high": float(np.quantile(single, 0.95)),
    }


def silent_units(model: "keras.Model", examples: "Examples") -> float:
    """The share of the dense layer's units that are 0 for every example: these learn nothing any more."""
    import numpy as np
    from keras import Model

    from keraserve_training.learning.feed import Feed, evaluation_batch

    hidden = Model(model.inputs, model.get_layer("hidden").output)
    loudest = np.full(hidden.output_shape[-1], -np.inf)
    for batch, _ in Feed(examples, evaluation_batch(examples.shape)).in_order():
        loudest = np.maximum(loudest, hidden.predict_on_batch(batch).max(axis=0))
    return float((loudest <= 0).mean())


def problems(findings: Findings, network: str = HEAD) -> list[str]:
    """A sentence for each thing that goes wrong in a network's training; none where nothing does."""
    metrics, rows = findings.metrics, findings.history(network)
    guessing = math.log(metrics["classes"])
    diverged = [row["epoch"] for row in rows if not math.isfinite(row["loss"])]
    if diverged:
        return [f"From epoch {diverged[0]:.0f} on the loss is no number any more: the training diverged."]
    first, last, silent = metrics["loss_first"], metrics["loss_last"], metrics["silent_units"]
    found: list[str] = []
    if first > _WORSE * guessing:
        found.append(
            f"The mean loss of the first epoch is {value(first, 'loss')}, more than the"
            f" ln {round(metrics['classes'])} = {value(guessing, 'loss')} of guessing."
        )
    if last > _MUCH * guessing:
        found.append(
            f"After {len(rows)} epochs the training loss is {value(last, 'loss')}, where guessing gives"
            f" {value(guessing, 'loss')}."
        )
    if silent > _LITTLE:
        found.append(
            f"{percent(silent)} of the dense units are 0 for every test image: they tell nothing about them."
        )
    if metrics["gap"] > _LITTLE:
        found.append(
            f"It gets {percent(metrics['training_accuracy'])} of the training images"
            f" right, {distance(metrics['gap'])} more than of the test images. {turning_point(rows)}"
        )
    return found


def lagging(findings: Findings, network: str) -> list[str]:
    """Say where a network with BatchNormalization is worse in its test than in its training."""
    learning, tested = findings.history(network)[-1]["accuracy"], findings.metrics["training_accuracy"]
    if learning - tested < _LAG:
        return []
    return [
        f"In training it gets {percent(learning)} of the training images right, with the moments of each"
        f" batch; tested afterwards, with those that BatchNormalization has stored, {percent(tested)}."
    ]
