"""The custom loop trains as `model.fit` does, and goes on where it was killed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import sample_runs
from sample_runs import said

from keraserve_training import experiments, progress
from keraserve_training.data import procedural
from keraserve_training.experiments.cats_dogs_xception_custom_loop import custom_loop
from keraserve_training.learning.fit import Loop, Phase, Plan, Trained, fit
from keraserve_training.learning.outputs import Output, classifier
from keraserve_training.options import Options
from keraserve_training.profiles import FULL

pytestmark = pytest.mark.usefixtures("tensorflow")
NAMES = ("cats-dogs-xception", "cats-dogs-xception-custom-loop")
SMALL: dict[str, Any] = {"backbone": "mobilenet", "alpha": 0.25, "weights": "random", "image_size": 32}
SEED = 5


def network(units: int, output: Output) -> keras.Model:
    """Everything that depends on a random state, something frozen, and a new last layer."""
    layers = keras.layers
    reused = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
        ],
        name="reused",
    )
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1),
            layers.Rescaling(1 / 255),
            reused,
            layers.Dropout(0.2),
            layers.Dense(units, activation="softmax" if output == "softmax" else None),
        ]
    )


def train(
    folder: Path,
    *,
    classes: int,
    loop: Callable[[Output], Loop] | None,
    show: progress.Show = progress.SILENT,
) -> Trained:
    images = procedural.images(50, classes=classes, size=(8, 8), channels=3, seed=1)
    units, output = classifier(classes)
    phases = (
        Phase("frozen", 2, keras.optimizers.Adam, frozen=lambda model: [model.get_layer("reused")]),
        Phase("fine-tuned", 2, lambda: keras.optimizers.Adam(1e-4)),
    )
    labels = [str(number) for number in range(classes)]
    made = loop(output) if loop else None
    # Of batches of 16 the last one has two images.
    plan = Plan("net", lambda: network(units, output), images, images, phases, labels, output, 16, loop=made)
    return fit(folder, plan, seed=SEED, profile=FULL, show=show)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_custom_loop_gives_what_fit_gives(tmp_path: Path, classes: int) -> None:
    theirs = train(tmp_path / "fit", classes=classes, loop=None)
    ours = train(tmp_path / "loop", classes=classes, loop=custom_loop)
    for one, other in zip(ours.model.weights, theirs.model.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-7)
    for row, expected in zip(ours.rows, theirs.rows, strict=True):
        assert row.keys() == expected.keys()
        for name in ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"):
            assert row[name] == pytest.approx(expected[name], rel=1e-5), name
    assert ours.result["phases"] == theirs.result["phases"]


def test_a_killed_one_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    class Killed(progress.Show):
        def epoch(self, row: dict[str, Any]) -> None:
            if row["epoch"] in (1, 3):
                raise KeyboardInterrupt

    whole = train(tmp_path / "whole", classes=2, loop=custom_loop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", classes=2, loop=custom_loop, show=Killed())
    rest = train(tmp_path / "killed", classes=2, loop=custom_loop)
    assert rest.result["digest"] == whole.result["digest"]
    losses = [[row["loss"] for row in trained.rows] for trained in (rest, whole)]
    assert losses[0] == losses[1]


def test_the_experiment_is_compared_with_the_one_that_fits(tmp_path: Path) -> None:
    fitting, ours = (experiments.find(name) for name in NAMES)
    options = Options(**SMALL)
    run = sample_runs.execute(tmp_path, ours.name, seed=SEED, options=options)
    metrics = run.metrics["metrics"]
    assert {figure.metric for figure in ours.figures} <= metrics.keys()
    assert run.networks["frozen"]["phases"][0]["trainable_parameters"] == 257
    assert "Run cats-dogs-xception" in said(run)
    other = sample_runs.execute(tmp_path, fitting.name, seed=SEED, options=options).metrics["metrics"]
    assert metrics["test_loss"] == pytest.approx(other["test_loss_frozen"], rel=1e-4)
    assert metrics["test_accuracy"] == other["test_accuracy_frozen"]
    assert "model.fit, from the same start on the same batches" in said(run)
    assert "+0.00 points. Both get the same of the 24 test images right." in said(run)
