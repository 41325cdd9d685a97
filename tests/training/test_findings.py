"""Comparable runs of other experiments are found; a network of several experiments is trained once."""

from pathlib import Path
from typing import Any

from keraserve_models import atomic
from keraserve_training.learning import borrowing
from keraserve_training.records import findings, history, run_folder

CONFIG: dict[str, Any] = {
    "experiment": "cifar100-cnn",
    "profile": {"name": "full"},
    "seed": 1,
    "settings": {},
    "options": {},
    "weights": "none",
    "versions": {"keras": "3"},
    "source_commit": "abc",
    "data": {"sha256": "d", "kind": "public"},
}


def finished(runs: Path, name: str, *, slug: str = "", **changes: Any) -> run_folder.FinishedRun:
    """Write a finished run with one network."""
    folder = run_folder.path(runs, name, "full", changes.get("seed", 1), slug)
    (folder / "cnn").mkdir(parents=True)
    atomic.write_json(folder / run_folder.CONFIG, CONFIG | changes)
    metrics = {"test_accuracy": 0.5 + 0.1 * len(slug)}
    content = {"run_id": name, "finished": "2026", "metrics": metrics, "networks": {}, "seconds": 1}
    atomic.write_json(folder / run_folder.METRICS, content)
    history.write(folder / "cnn" / run_folder.HISTORY, [{"epoch": 1.0, "phase": "p", "loss": 2.0}])
    (folder / "cnn" / run_folder.MODEL).write_bytes(b"model")
    atomic.write_json(folder / "cnn" / run_folder.RESULT, {"labels": []})
    return run_folder.finished_in(folder)


def test_only_what_can_be_compared_is_found(tmp_path: Path) -> None:
    mine = findings.Findings(finished(tmp_path, "mine", slug="x", options={"backbone": "x"}), tmp_path)
    assert mine.of("other") is None
    finished(tmp_path, "other", seed=2)
    assert mine.of("other") is None
    finished(tmp_path, "images", data={"sha256": "e"})
    assert mine.of("images") is None
    finished(tmp_path, "backbone", options={"backbone": "y"})
    assert mine.of("backbone") is None
    finished(tmp_path, "plain")
    found = mine.of("plain")
    assert found
    assert found.metrics["test_accuracy"] == 0.5
    assert found.history("cnn")[0]["loss"] == 2


def test_random_weights_are_known(tmp_path: Path) -> None:
    assert findings.Findings(finished(tmp_path, "a", weights={"kind": "random"}), tmp_path).random_weights
    assert not findings.Findings(finished(tmp_path, "b"), tmp_path).random_weights


def test_the_same_network_is_taken_from_the_other_run(tmp_path: Path) -> None:
    theirs = finished(tmp_path, "theirs")
    folder = run_folder.path(tmp_path, "mine", "full", 1)
    folder.mkdir(parents=True)
    atomic.write_json(folder / run_folder.CONFIG, CONFIG | {"experiment": "mine"})
    assert not borrowing.borrow(folder, tmp_path / "nobody", "cnn")
    assert not borrowing.borrow(folder, theirs.folder, "other")
    for change in (
        {"data": {"sha256": "e"}},
        {"versions": {}},
        {"source_commit": "b"},
        {"options": {"a": 1}},
    ):
        atomic.write_json(folder / run_folder.CONFIG, CONFIG | change)
        assert not borrowing.borrow(folder, theirs.folder, "cnn")
    atomic.write_json(folder / run_folder.CONFIG, CONFIG | {"experiment": "mine"})
    assert borrowing.borrow(folder, theirs.folder, "cnn")
    for name in (run_folder.MODEL, run_folder.HISTORY, run_folder.RESULT):
        assert (folder / "cnn" / name).read_bytes() == (theirs.folder / "cnn" / name).read_bytes()
    assert not borrowing.borrow(folder, theirs.folder, "cnn")  # there is one now


def test_a_network_that_is_being_trained_is_left_alone(tmp_path: Path) -> None:
    theirs = finished(tmp_path, "theirs")
    folder = run_folder.path(tmp_path, "mine", "full", 1)
    (folder / "cnn").mkdir(parents=True)
    atomic.write_json(folder / run_folder.CONFIG, CONFIG)
    (folder / "cnn" / run_folder.CHECKPOINT).write_bytes(b"half")
    assert not borrowing.borrow(folder, theirs.folder, "cnn")
