"""Run folders: what they hold, who may work in them, and what happens when they don't fit."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keraserve_models import atomic
from keraserve_training import experiment, experiments, open_run, profiles, run
from keraserve_training.data import class_folders, image_files, procedural
from keraserve_training.errors import (
    DataUnavailableError,
    NotComparableError,
    OriginalChangedError,
    RunBusyError,
    RunDamagedError,
    RunDiffersError,
)
from keraserve_training.learning.fit import Phase
from keraserve_training.records import history, predictions, run_folder
from keraserve_training.records.run_folder import FinishedRun

pytestmark = pytest.mark.usefixtures("tensorflow")


def opened(folder: Path, *, force: bool = False, **changes: Any) -> AbstractContextManager[run.Run]:
    """A run of some experiment, opened."""
    spec = run.RunSpec(**{"profile": profiles.SAMPLE, "seed": 1, **changes})
    return open_run.opened(experiments.find("fashion-mnist-reuse"), folder, spec, force=force)


def test_a_finished_run_holds_everything(finished: FinishedRun) -> None:
    pairs = {"model-b-on-a": "model-b-alone-document-schedule"}
    pairs |= {"model-b-on-a-constant-rate": "model-b-alone-constant-rate"}
    networks = {"model-a", *pairs, *pairs.values()}
    assert set(finished.networks) == networks
    for name in networks:
        assert len(history.read(finished.folder / name / "history.csv")) == finished.networks[name]["epochs"]
        assert (finished.folder / name / "model.keras").is_file()
        with Image.open(finished.folder / f"confusion-{name}.png") as image:
            assert image.width > 300
        with Image.open(finished.folder / f"mistakes-{name}.png") as image:
            assert image.width > 300
    with Image.open(finished.folder / "curves.png") as image:
        assert image.width > 1000
    config = finished.config
    assert config["data"]["kind"] == "procedural"
    assert finished.metrics["procedural"]
    assert set(config["versions"]) == {"python", "keras", "tensorflow", "numpy", "keraserve-training"}
    assert "source_commit" in config
    assert not [path for path in finished.folder.rglob(".*") if path.name != run_folder.LOCK]


def test_the_source_documents_settings_are_kept(finished: FinishedRun) -> None:
    on_a, alone = finished.networks["model-b-on-a"], finished.networks["model-b-alone-document-schedule"]
    frozen, unfrozen = on_a["phases"]
    assert frozen["learning_rate"] == pytest.approx(1e-3)
    assert unfrozen["learning_rate"] == pytest.approx(1e-4)
    assert frozen["trainable_parameters"] == 51
    assert unfrozen["trainable_parameters"] == on_a["parameters"] == alone["parameters"] == 275_801
    assert finished.networks["model-a"]["parameters"] == 276_158
    assert finished.networks["model-a"]["batch"] == 32
    assert len(finished.networks["model-a"]["labels"]) == 8
    assert on_a["labels"] == ["sandal", "shirt"]


def test_compared_networks_have_one_schedule(finished: FinishedRun) -> None:
    """Reused and alone differ in nothing but the initial weights of their hidden layers."""
    for schedule in ("document-schedule", "constant-rate"):
        reused = finished.networks["model-b-on-a" + ("-constant-rate" if schedule == "constant-rate" else "")]
        alone = finished.networks[f"model-b-alone-{schedule}"]
        assert reused["phases"] == alone["phases"]
        assert reused["train_images"] == alone["train_images"]
    (phase,) = reused["phases"]
    assert phase["learning_rate"] == pytest.approx(1e-3)
    assert phase["trainable_parameters"] == reused["parameters"]


def test_the_predictions_of_each_network_are_kept(finished: FinishedRun) -> None:
    for name, network in finished.networks.items():
        kept = predictions.read(finished.folder, name)
        assert kept.right.mean() == pytest.approx(network["test"]["accuracy"])
        assert len(kept.labels) == network["test"]["images"]
        assert "predicted" not in network["test"]
    first, second, other = (
        predictions.read(finished.folder, name)
        for name in ("model-b-on-a", "model-b-alone-constant-rate", "model-a")
    )
    assert predictions.compare(first, second).count == len(first.labels)
    with pytest.raises(NotComparableError, match="different test images"):
        predictions.compare(first, other)


def test_learning_works_a_little_on_procedural_images(finished: FinishedRun) -> None:
    assert finished.metrics["metrics"]["test_accuracy_a"] > 0.5  # by chance: 0.125


def test_a_finished_run_is_not_run_again(
    runs: Path, reuse: experiment.Experiment, finished: FinishedRun
) -> None:
    before = finished.config["run_id"]
    assert not open_run.execute(reuse, finished.folder, run.RunSpec(profiles.SAMPLE, 42))
    assert run_folder.read_json(finished.folder / "config.json")["run_id"] == before


@pytest.mark.parametrize("spoil", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:40])])
def test_an_image_that_is_spoilt_while_it_runs_is_named(
    tmp_path: Path,
    reuse: experiment.Experiment,
    spoil: Callable[[Path], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image_files, "_small", {})  # as in a process of its own
    for name in ("cat/1", "cat/2", "dog/1", "dog/2"):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), "red").save(tmp_path / "own" / f"{name}.jpg")

    def look(*_: Any) -> None:
        images = class_folders.load(tmp_path / "own", profiles.FULL, lambda _: None).train.sized(8)
        victim = images.files[-1]
        spoil(victim)
        with pytest.raises(tf.errors.OpError):
            list(images.batches(np.arange(len(images)), 1))
        list(images.batches(np.arange(len(images)), 1))

    looking = dataclasses.replace(reuse, run=look)
    with pytest.raises(DataUnavailableError, match=r"(cat|dog).[12]\.jpg has gone or has been damaged since"):
        open_run.execute(looking, tmp_path / "run", run.RunSpec(profiles.FULL, 1))


def test_other_settings_are_reported(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    with (
        pytest.raises(RunDiffersError, match=r"settings was \{\}, now \{'pair': \[1, 2\]\}.*--force"),
        opened(tmp_path, settings={"pair": (1, 2)}),
    ):
        pass


def test_other_library_versions_are_reported_while_unfinished(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    config = run_folder.read_json(tmp_path / "config.json")
    config["versions"]["keras"] = "2.0"
    atomic.write_json(tmp_path / "config.json", config)
    with pytest.raises(RunDiffersError, match="versions"), opened(tmp_path):
        pass
    atomic.write_json(tmp_path / "metrics.json", {})
    with opened(tmp_path) as finished:
        assert finished.finished


def test_other_images_are_reported(tmp_path: Path) -> None:
    from keraserve_training.data import datasets

    with opened(tmp_path) as first:
        first.load(datasets.fashion_mnist)
    config = run_folder.read_json(tmp_path / "config.json")
    config["data"]["sha256"] = "0"
    atomic.write_json(tmp_path / "config.json", config)
    with opened(tmp_path) as second, pytest.raises(RunDiffersError, match="images"):
        second.load(datasets.fashion_mnist)


def test_a_second_process_is_rejected(tmp_path: Path) -> None:
    with opened(tmp_path):
        assert run_folder.state(tmp_path) == "running, at the start"
        with pytest.raises(RunBusyError, match="Another process"), opened(tmp_path):
            pass
    assert run_folder.state(tmp_path) == "interrupted at the start"


def test_force_starts_anew_and_unfinished_files_are_removed(tmp_path: Path) -> None:
    with opened(tmp_path):
        (tmp_path / "net").mkdir()
        (tmp_path / "net" / ".123.model.keras").write_bytes(b"half")
    with opened(tmp_path):
        assert not list((tmp_path / "net").iterdir())
    with opened(tmp_path, seed=2, force=True):
        assert not (tmp_path / "net").exists()
        assert json.loads((tmp_path / "config.json").read_text())["seed"] == 2


def test_networks_without_a_configuration_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "result.json").write_text("{}")  # an interrupted --force
    with opened(tmp_path):
        assert not (tmp_path / "net").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "\x00"])
def test_a_damaged_configuration_is_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunDamagedError, match="--force"), opened(tmp_path):
        pass


def test_a_reused_model_that_is_not_cloned_is_rejected(tmp_path: Path) -> None:
    """The source document's own warning: layers that are shared are trained in both models."""
    images = procedural.images(20, classes=2, size=(4, 4), channels=1, seed=1)

    def network() -> Any:
        layers = keras.layers.Flatten(), keras.layers.Dense(3), keras.layers.Dense(1, activation="sigmoid")
        return keras.Sequential([keras.Input((4, 4, 1)), *layers])

    common: dict[str, Any] = {
        "train": images,
        "validation": images,
        "phases": [Phase("p", 1, lambda: keras.optimizers.SGD(0.1))],
        "labels": ("a", "b"),
        "output": "sigmoid",
    }
    with opened(tmp_path, profile=profiles.FULL) as there:
        a = there.fit("a", build=network, **common)
        kept: Any = a.model.layers[:-1]
        last = keras.layers.Dense(1, activation="sigmoid")
        with pytest.raises(OriginalChangedError, match=r"'a'.*clone"):
            there.fit("b", build=lambda: keras.Sequential([keras.Input((4, 4, 1)), *kept, last]), **common)


def test_an_evaluation_is_consistent(finished: FinishedRun) -> None:
    for network in finished.networks.values():
        matrix = np.array(network["test"]["confusion"])
        assert matrix.sum() == network["test"]["images"]
        assert np.trace(matrix) / matrix.sum() == pytest.approx(network["test"]["accuracy"])
        assert network["test"]["loss"] > 0
        mistakes = network["test"]["mistakes"]
        assert len(mistakes) == min(9, matrix.sum() - np.trace(matrix))
        assert all(each["true"] != each["predicted"] for each in mistakes)
        sure = [each["probability"] for each in mistakes]
        assert sure == sorted(sure, reverse=True)


def test_an_atomic_file_is_old_or_new(tmp_path: Path) -> None:
    file = tmp_path / "f.json"
    atomic.write_json(file, {"a": 1})

    def fails(part: Path) -> None:
        part.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        atomic.write_with(file, fails)
    assert json.loads(file.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["f.json"]
    shutil.rmtree(tmp_path)
