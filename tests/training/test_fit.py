"""Order of the images, resuming bit for bit, and a whole run that is killed by SIGKILL."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import sample_runs

from keraserve_training import experiment, open_run, profiles, progress
from keraserve_training.data import procedural
from keraserve_training.data.images import Images
from keraserve_training.errors import FineTuningTooFastError, RunDamagedError, RunDiffersError
from keraserve_training.learning import augmentation, checkpoint, fit, outputs, rules
from keraserve_training.learning.feed import Feed
from keraserve_training.learning.fit import Phase, Plan
from keraserve_training.records import history, run_folder
from keraserve_training.run import RunSpec

pytestmark = pytest.mark.usefixtures("tensorflow")
NETWORKS = ("model-a", "model-b-on-a", "model-b-alone-document-schedule", "model-b-alone-constant-rate")


def labels(batches: Any) -> list[int]:
    return [int(label) for _, batch in batches for label in batch]


def numbered(count: int) -> Images:
    return Images(np.zeros((count, 2, 2, 1), np.uint8), np.arange(count, dtype=np.int32))


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    feed, other = Feed(numbered(50), 8), Feed(numbered(50), 8)
    assert labels(feed.epoch(1, 3)) == labels(other.epoch(1, 3)) == labels(feed.epoch(1, 3))
    assert labels(feed.epoch(1, 3)) != labels(feed.epoch(1, 4)) != labels(feed.epoch(2, 4))
    assert sorted(labels(feed.epoch(1, 3))) == list(range(50))
    assert labels(feed.in_order()) == list(range(50))
    assert feed.steps == 7


class _KilledError(Exception):
    pass


class _Killing(progress.Show):
    def __init__(self, after: int) -> None:
        self._after = after

    def epoch(self, row: dict[str, Any]) -> None:
        if row["epoch"] == self._after:
            raise _KilledError


def plan() -> Plan:
    """Dropout, augmentation and Adam: all that is random or has a memory has to go on as well."""

    def build() -> keras.Model:
        layers = (
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, activation="softmax"),
        )
        return keras.Sequential([keras.Input((6, 6, 1)), *layers])

    def first(model: keras.Model) -> list[keras.Layer]:
        return model.layers[:1]

    images = procedural.images(60, classes=3, size=(6, 6), channels=1, seed=1)
    phases = [
        Phase("one", 2, lambda: keras.optimizers.Adam(1e-2), first),
        Phase("two", 2, lambda: keras.optimizers.Adam(1e-3)),
    ]
    change = augmentation.flips_and_crops
    return Plan("net", build, images, images, phases, ("a", "b", "c"), "softmax", augmentation=change)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> fit.Trained:
    """Trained without a break."""
    folder = tmp_path_factory.mktemp("whole") / "net"
    return fit.fit(folder, plan(), seed=3, profile=profiles.FULL)


def test_interrupted_after_every_epoch_the_end_is_the_same(tmp_path: Path, whole: fit.Trained) -> None:
    for after in (1, 2, 3, 4):
        with pytest.raises(_KilledError):
            fit.fit(tmp_path / "net", plan(), seed=3, profile=profiles.FULL, show=_Killing(after))
    again = fit.fit(tmp_path / "net", plan(), seed=3, profile=profiles.FULL)
    for ours, theirs in zip(again.model.weights, whole.model.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert [row["loss"] for row in again.rows] == [row["loss"] for row in whole.rows]
    assert [row["phase"] for row in again.rows] == ["one", "one", "two", "two"]
    assert not (tmp_path / "net" / run_folder.CHECKPOINT).exists()

    loaded = fit.fit(tmp_path / "net", plan(), seed=3, profile=profiles.FULL, show=_Killing(1))
    assert rules.digest(loaded.model.weights) == rules.digest(whole.model.weights)
    assert loaded.rows == again.rows

    (tmp_path / "net" / run_folder.MODEL).write_bytes(b"nonsense")
    with pytest.raises(RunDamagedError, match="--force"):
        fit.load(tmp_path / "net")


def dense(output: outputs.Output, units: int, activation: str | None) -> Callable[[], keras.Model]:
    return lambda: keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation=activation),
            *([keras.layers.Reshape((6, 6, 1))] if output == "reconstruction" else []),
        ]
    )


def train(folder: Path, show: progress.Show | None = None, **changes: Any) -> fit.Trained:
    """Train a small network for two epochs, then for two up the gradient, away again."""
    images = procedural.images(60, classes=2, size=(6, 6), channels=1, seed=1)
    content: dict[str, Any] = {
        "name": "net",
        "build": dense("sigmoid", 1, "sigmoid"),
        "train": images,
        "validation": images,
        "phases": [
            Phase("one", 2, lambda: keras.optimizers.SGD(0.5)),
            Phase("two", 2, lambda: keras.optimizers.SGD(-0.5)),
        ],
        "labels": ("a", "b"),
        "output": "sigmoid",
    }
    plan = Plan(**content | changes)
    return fit.fit(folder, plan, seed=3, profile=profiles.FULL, show=show or progress.SILENT)


def test_the_best_epoch_is_restored_also_after_an_interruption(tmp_path: Path) -> None:
    last = train(tmp_path / "last")
    losses = [row["val_loss"] for row in last.rows]
    place = losses.index(min(losses))
    assert place < 3, "else it shows nothing"
    whole = train(tmp_path / "whole", best=True)
    assert whole.result["best_epoch"] == place + 1
    assert whole.best_row["val_loss"] == min(losses)
    batches = Feed(procedural.images(60, classes=2, size=(6, 6), channels=1, seed=1), 60).in_order()
    whole.model.compile(loss="binary_crossentropy")
    loss, *_ = whole.model.evaluate(batches, verbose=0)
    assert loss == pytest.approx(min(losses), rel=1e-5)
    for after in (1, 2, 3, 4):
        with pytest.raises(_KilledError):
            train(tmp_path / "again", _Killing(after), best=True)
    again = train(tmp_path / "again", best=True)
    assert rules.digest(again.model.weights) == rules.digest(whole.model.weights)
    assert not (tmp_path / "again" / run_folder.BEST).exists()


def test_logits_learn_as_a_sigmoid_does(tmp_path: Path) -> None:
    phases = [Phase("one", 3, lambda: keras.optimizers.SGD(0.5))]
    sigmoid = train(tmp_path / "sigmoid", phases=phases)
    logit = train(tmp_path / "logit", phases=phases, build=dense("logit", 1, None), output="logit")
    for mine, theirs in zip(logit.rows, sigmoid.rows, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
        assert mine["val_accuracy"] == theirs["val_accuracy"]


def test_an_autoencoder_learns_its_own_images(tmp_path: Path) -> None:
    phases = [Phase("one", 3, lambda: keras.optimizers.Adam(0.01))]
    build = dense("reconstruction", 36, "sigmoid")
    trained = train(tmp_path, phases=phases, build=build, output="reconstruction")
    columns = {"epoch", "phase", "loss", "val_loss", "learning_rate", "seconds", "training_seconds"}
    assert set(trained.rows[0]) == columns
    assert 0 < trained.rows[-1]["val_loss"] < trained.rows[0]["val_loss"] < 0.5
    assert history.read(tmp_path / run_folder.HISTORY) == trained.rows


def test_a_custom_loop_is_called_for_every_epoch(tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def loop(model: Any, batches: Any, tell: Callable[[int], None]) -> Mapping[str, float]:
        for number, (inputs, targets) in enumerate(batches):
            model.train_on_batch(inputs, targets)
            seen.append(tuple(inputs.shape))
            tell(number + 1)
        return {"loss": 1.5, "accuracy": 0.5}

    trained = train(tmp_path, loop=loop)
    assert len(seen) == 4 * 2
    assert seen[:2] == [(32, 6, 6, 1), (28, 6, 6, 1)]
    assert [row["loss"] for row in trained.rows] == [1.5] * 4
    assert "val_accuracy" in trained.rows[0]


def test_what_goes_on_with_another_networks_layers_is_fine_tuning(tmp_path: Path) -> None:
    fast = [Phase("head", 1, lambda: keras.optimizers.SGD(0.5))]
    head = train(tmp_path / "head", phases=fast)
    build = lambda: rules.clone(head.model)  # noqa: E731
    with pytest.raises(FineTuningTooFastError, match="Lower it"):
        train(tmp_path / "tuned", build=build, after=head, phases=fast)
    slow = [Phase("tuned", 1, lambda: keras.optimizers.SGD(1e-3))]
    assert train(tmp_path / "tuned", build=build, after=head, phases=slow).rows


@pytest.mark.parametrize("content", [b"PK nonsense", b"", b"PK\x03\x04" + bytes(100)])
def test_a_damaged_checkpoint_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / run_folder.CHECKPOINT).write_bytes(content)
    with pytest.raises(RunDamagedError, match="--force"):
        fit.fit(tmp_path, plan(), seed=3, profile=profiles.FULL)


def test_a_checkpoint_of_another_network_is_an_error(tmp_path: Path, whole: fit.Trained) -> None:
    whole.model.compile(optimizer="sgd", loss="mse")
    checkpoint.write(tmp_path / run_folder.CHECKPOINT, whole.model, whole.result["phases"][:1], [])
    with pytest.raises(RunDamagedError, match="code has changed"):
        fit.fit(tmp_path, plan(), seed=3, profile=profiles.FULL)


def test_a_plan_that_has_changed_is_an_error(tmp_path: Path, whole: fit.Trained) -> None:
    whole.model.compile(optimizer="sgd", loss="mse")
    said = [{**whole.result["phases"][0], "learning_rate": 0.5}]
    checkpoint.write(tmp_path / run_folder.CHECKPOINT, whole.model, said, [])
    with pytest.raises(RunDiffersError, match="code of the experiment has changed"):
        fit.fit(tmp_path, plan(), seed=3, profile=profiles.FULL)


def test_history_comes_back_as_it_was(tmp_path: Path) -> None:
    rows = [{"epoch": 1.0, "phase": "x", "loss": 0.1 + 0.2, "seconds": 1e-9}]
    history.write(tmp_path / "h.csv", rows)
    assert history.read(tmp_path / "h.csv") == rows


def test_a_run_killed_by_sigkill_ends_as_an_uninterrupted_one(
    tmp_path: Path, reuse: experiment.Experiment, finished: run_folder.FinishedRun
) -> None:
    seen = sample_runs.killed_at("model-b-on-a: epoch 4/6", tmp_path, reuse.name)  # the first one unfrozen
    assert "model-a: epoch 3/3" in seen
    folder = run_folder.path(tmp_path, reuse.name, "sample", 42)
    assert run_folder.state(folder).startswith("interrupted at model-b-on-a, epoch 4")
    assert open_run.execute(reuse, folder, RunSpec(profiles.SAMPLE, 42))
    for name in NETWORKS:
        ours, theirs = fit.load(folder / name), fit.load(finished.folder / name)
        for mine, whole in zip(ours.model.weights, theirs.model.weights, strict=True):
            np.testing.assert_array_equal(mine.numpy(), whole.numpy())
    metrics = json.loads((folder / run_folder.METRICS).read_text())["metrics"]
    assert metrics == finished.metrics["metrics"]
