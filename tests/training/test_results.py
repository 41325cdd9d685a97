"""docs/results.md, the expected ranges, and the words for runs, curves and numbers."""

import json
from pathlib import Path
from typing import Any

import invented_runs
import pytest
from invented_runs import IMAGENET, PROCEDURAL, RANDOM, REAL, network, rows
from PIL import Image

from keraserve_models import atomic
from keraserve_training import expected_ranges, number_format
from keraserve_training.experiment import Experiment
from keraserve_training.records import caveats, description, run_folder
from keraserve_training.reporting import gathering, ranges, reading, report_runs, results

TEN = tuple(f"class {number}" for number in range(10))
MOBILENET = {"data": "/somewhere/private/images", "backbone": "mobilenet", "alpha": 0.25}


def _simple(runs: Path, of: Experiment, accuracy: float = 0.8, **more: Any) -> Path:
    nets = {"head": network(rows(4, top=accuracy), TEN, accuracy=accuracy)}
    return invented_runs.write(runs, of, nets, {"test_accuracy": accuracy, "unknown": 1.0}, **more)


@pytest.fixture
def of() -> Experiment:
    return invented_runs.experiment("cifar10-inceptionv3", "001")


def test_ranges_over_full_runs_with_real_images(tmp_path: Path, of: Experiment) -> None:
    for seed, accuracy in ((1, 0.78), (2, 0.8), (3, 0.79)):
        _simple(tmp_path, of, accuracy, seed=seed)
    _simple(tmp_path, of, 0.6, profile="quick")
    _simple(tmp_path, of, 0.1, profile="sample", data=PROCEDURAL, weights=RANDOM)
    _simple(tmp_path, of, 0.7, given=MOBILENET)
    file = tmp_path / "expected_ranges.json"
    content = ranges.write([of], tmp_path, file)
    assert content == json.loads(file.read_text())
    assert content == {
        of.name: {"test_accuracy": {"low": 0.78, "high": 0.8, "runs": 3}},
        f"{of.name}+mobilenet-0-25-000000000000": {"test_accuracy": {"low": 0.7, "high": 0.7, "runs": 1}},
    }


def test_images_are_identified_by_their_digest_and_not_by_their_folders_name(
    tmp_path: Path, of: Experiment
) -> None:
    alice, bob = (
        {"data": f"/{who}/photos", "backbone": "mobilenet", "alpha": 0.25} for who in ("alice", "bob")
    )
    other = REAL | {"sha256": "3" * 64}
    _simple(tmp_path, of, 0.7, given=alice, seed=1)
    _simple(tmp_path, of, 0.3, given=bob, seed=2, data=other)
    _simple(tmp_path, of, 0.8, given=alice | {"data": "/alice/copy"}, seed=3)
    groups = gathering.gather(tmp_path, of.name).groups
    assert sorted(sorted(group.values("test_accuracy")) for group in groups) == [[0.3], [0.7, 0.8]]
    measured = ranges.measure([of], tmp_path)
    assert {key: found["test_accuracy"]["runs"] for key, found in measured.items()} == {
        f"{of.name}+mobilenet-0-25-000000000000": 2,
        f"{of.name}+mobilenet-0-25-333333333333": 1,
    }
    text = results.write([of], tmp_path, tmp_path / "docs").read_text()
    assert "2 seeds: mean 75.00 %" in text
    assert "mean 50.00 %" not in text


def test_an_interval_over_seeds_stays_between_0_and_100_percent(tmp_path: Path, of: Experiment) -> None:
    for seed, accuracy in ((1, 0.97), (2, 1.0)):
        _simple(tmp_path, of, accuracy, seed=seed)
    (group,) = gathering.gather(tmp_path, of.name).groups
    said = report_runs.over_seeds(group, of.figures[0])
    assert said == "2 seeds: mean 98.50 %, 95 % interval 79.44 % to 100.00 %"


def test_pieces_of_a_study_with_the_experiments_own_settings_count(tmp_path: Path, of: Experiment) -> None:
    alone = _simple(tmp_path, of, 0.78, seed=1)
    study = tmp_path / of.name / "study"
    for name, seed, pair, accuracy in (
        ("full/5-6-seed1", 1, [5, 6], 0.78),
        ("full/5-6-seed2", 2, [5, 6], 0.9),
        ("full/2-4-seed2", 2, [2, 4], 0.1),
        ("full+mobilenet/5-6-seed3", 3, [5, 6], 0.5),
        ("quick/5-6-seed3", 3, [5, 6], 0.2),
    ):
        (study / name).mkdir(parents=True)
        config = json.loads((alone / "config.json").read_text())
        metrics = json.loads((alone / "metrics.json").read_text()) | {"metrics": {"test_accuracy": accuracy}}
        given = {"options": {"backbone": "mobilenet"}} if "mobilenet" in name else {}
        changes = {"seed": seed, "settings": {"pair": pair}, **given}
        atomic.write_json(study / name / "config.json", config | changes)
        atomic.write_json(study / name / "metrics.json", metrics)
    assert ranges.measure([of], tmp_path) == {
        of.name: {"test_accuracy": {"low": 0.78, "high": 0.9, "runs": 2}},
        f"{of.name}+mobilenet": {"test_accuracy": {"low": 0.5, "high": 0.5, "runs": 1}},
    }


def test_what_is_measured_is_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"a+mobilenet": {"test_accuracy": {"low": 0.1, "high": 0.2, "runs": 3}}}
    monkeypatch.setattr(expected_ranges, "_all", lambda: content)
    assert expected_ranges.of(
        expected_ranges.key("a", "mobilenet"), "test_accuracy"
    ) == expected_ranges.Range(0.1, 0.2, 3)
    assert expected_ranges.of(expected_ranges.key("a", ""), "test_accuracy") is None


def test_the_document_says_what_was_run_and_how(tmp_path: Path, of: Experiment) -> None:
    folder = REAL | {"kind": "folder", "origin": "images of one's own, in the folder 'images'"}
    for seed in (1, 2):
        _simple(
            tmp_path / "runs",
            of,
            0.7 + 0.1 * seed,
            given=MOBILENET,
            data=folder,
            weights=IMAGENET,
            seed=seed,
            draw=lambda _: None,
        )
    _simple(tmp_path / "runs", of, 0.28, given=MOBILENET | {"weights": "random"}, data=folder, weights=RANDOM)
    _simple(tmp_path / "runs", of, 0.123, profile="quick")
    other = invented_runs.experiment("cifar100-cnn", "000")
    _simple(tmp_path / "runs", other, 0.456, profile="sample", data=PROCEDURAL)
    stale = tmp_path / "docs" / "results" / "stale.png"
    stale.parent.mkdir(parents=True)
    stale.touch()
    text = results.write([of, other], tmp_path / "runs", tmp_path / "docs").read_text()
    assert text.index("## 000") < text.index("## 001")
    assert "| 82.46 % | **90.00 %** | 2 seeds: mean 85.00 %" in text
    assert "keraserve-train run cifar10-inceptionv3 --data images --backbone mobilenet --alpha 0.25" in text
    assert "ImageNet (mobilenet_2_5_224_tf_no_top.h5)" in text
    assert "| **28.00 %** |  | images of images, mobilenet of width 0.25; **random weights** |" in text
    assert "It gets 0.900 right." in text
    assert "12.30 %" not in text
    assert "45.60 %" not in text
    assert "Not run on real images yet: `keraserve-train run cifar100-cnn`" in text
    assert "keras 3.15.1" in text
    assert "/somewhere" not in text
    assert str(tmp_path) not in text
    images = {file.name for file in stale.parent.iterdir()}
    assert images == {"source-001.png", "cifar10-inceptionv3-curves.png"}
    assert all(f"(results/{name})" in text for name in images)
    assert "\n\n\n" not in text


def test_images_of_the_data_are_left_out_and_a_note_stands_first(tmp_path: Path, of: Experiment) -> None:
    folder = _simple(tmp_path / "runs", of, 0.7)
    metrics = run_folder.read_json(folder / run_folder.METRICS)
    names = ("samples.png", run_folder.what_decided_image("a"), "bars.png")
    metrics["plots"] = [{"file": name, "title": name, "caption": ""} for name in names]
    for image in metrics["plots"]:
        Image.new("RGB", (9, 9)).save(folder / image["file"])
    atomic.write_json(folder / run_folder.METRICS, metrics)
    text = results.write([of], tmp_path / "runs", tmp_path / "docs", "The data are lossy.").read_text()
    assert "results/cifar10-inceptionv3-bars.png" in text
    assert "samples.png" not in text
    assert "what-decided" not in text
    assert 0 < text.index("\n\nThe data are lossy.\n\n") < text.index("## 001")


def test_caveats_as_a_line() -> None:
    config = {"profile": {"procedural": True}, "weights": RANDOM, "data": PROCEDURAL}
    assert caveats.banner(config) == "Procedural images and random weights: these figures mean nothing"
    assert caveats.banner(config | {"profile": {}, "data": REAL}) == "Random weights: nothing was transferred"
    assert caveats.banner({"profile": {}, "weights": "none", "data": REAL}) == ""


@pytest.mark.parametrize(
    ("history", "classes", "said"),
    [
        (rows(10, rises=2.0), 10, "on the validation loss rises from"),
        (rows(5, speed=0.05), 10, "still getting better"),
        (rows(30, speed=2.0), 10, "levels off"),
        (rows(10, top=0.11), 10, "hardly learns: at best 1"),
        (rows(10, accuracy=False, speed=0.1), None, "still getting better"),
        (
            rows(6, phases=[("frozen", 2), ("unfrozen", 6)]),
            10,
            "The phase “unfrozen” takes the validation accuracy",
        ),
        (
            [*rows(3), {"epoch": 4, "loss": float("nan"), "val_loss": 1.0}],
            10,
            "in epoch 4: the training diverged",
        ),
    ],
)
def test_curves_in_words(history: list[dict[str, Any]], classes: int | None, said: str) -> None:
    assert said in reading.curve(history, classes)


def test_too_few_epochs_say_nothing() -> None:
    assert reading.curve(rows(2), 10) == ""
    assert reading.curve([{"epoch": number, "loss": 1.0} for number in range(5)], 10) == ""


@pytest.mark.parametrize(
    ("number", "unit", "said"),
    [
        (1.25, "seconds", "1.2 s"),
        (0.012, "seconds", "12 ms"),
        (61, "seconds", "1 min 1 s"),
        (3700, "seconds", "1 h 1 min"),
        (999, "bytes", "999 bytes"),
        (78_400_000, "bytes", "78.4 MB"),
        (999_960, "bytes", "1.0 MB"),
        (2.5e12, "bytes", "2,500 GB"),
        (1.5, "count", "1.50"),
        (12_345, "count", "12,345"),
        (0.5, "loss", "0.500"),
        (float("nan"), "share", "not a number"),
        (-0.25, "points", "\u221225.00 points"),
    ],
)
def test_numbers_as_people_read_them(number: float, unit: Any, said: str) -> None:
    assert number_format.value(number, unit) == said


def test_weights_in_words() -> None:
    assert description.weights({"weights": "none"}) == "none"
    assert description.weights({}) == "none"
    assert description.weights({"weights": RANDOM}) == "random weights"
    noted = IMAGENET | {"note": "those for 224 px"}
    assert description.weights({"weights": noted}).endswith(
        "(mobilenet_2_5_224_tf_no_top.h5); those for 224 px"
    )
