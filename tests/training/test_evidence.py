"""Sentences about figures: each one at the edge of the condition under which it is written."""

from pathlib import Path
from typing import Any

import invented_runs
import numpy as np
import pytest
from invented_runs import network, rows

from keraserve_protocol.evaluation import wilson
from keraserve_training.errors import NotComparableError, RunDamagedError
from keraserve_training.experiments import EXPERIMENTS, find
from keraserve_training.exporting import model_card
from keraserve_training.learning.fit import _Clock
from keraserve_training.learning.machine_load import Others
from keraserve_training.records import description, evidence, predictions, run_folder
from keraserve_training.records.findings import Findings
from keraserve_training.reporting import report, report_curves, results

LABELS = ("cat", "dog")
_SPAN = "95 % interval"
OF = invented_runs.experiment("mine")


def of_test(confusion: list[list[int]], labels: tuple[str, ...] = LABELS) -> dict[str, Any]:
    """A network with this confusion matrix."""
    matrix = np.array(confusion)
    test = {
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        "loss": 0.5,
        "images": int(matrix.sum()),
        "confusion": confusion,
        "mistakes": [],
    }
    return network(rows(4), labels) | {"test": test}


def test_an_accuracy_has_its_interval() -> None:
    assert evidence.accuracy(of_test([[7, 3], [7, 3]])["test"]) == "50.00 % (95 % interval 29.9 % to 70.1 %)"
    assert evidence.accuracy(of_test([[10, 0], [0, 10]])["test"]) == f"100.00 % ({_SPAN} 83.9 % to 100.0 %)"
    assert evidence.accuracy(of_test([[0, 10], [10, 0]])["test"]) == "0.00 % (95 % interval 0.0 % to 16.1 %)"


def test_accuracy_stands_beside_the_share_of_the_most_frequent_class() -> None:
    """190 dogs and 10 cats: who always says dog gets 95 %."""
    always = of_test([[0, 10], [0, 190]])
    assert evidence.guessing(always["test"], LABELS) == "always saying “dog” would give 95.00 %"
    assert evidence.guessing(of_test([[5, 5], [5, 5]])["test"], LABELS) == "guessing would give 50.00 %"
    (warning,) = evidence.warnings(always)
    assert warning.startswith("At chance level: 95.00 % (95 % interval 91.0 % to 97.3 %) of 200 test images")
    assert warning.endswith("always saying “dog” gets 95.00 %.")


@pytest.mark.parametrize(("right", "warned"), [(58, True), (59, True), (60, False), (10, True), (100, False)])
def test_a_network_is_at_chance_level_as_long_as_its_interval_reaches_it(right: int, warned: bool) -> None:
    """Of 100 images, 50 of each class: 59 right may be chance, 60 are not."""
    first = right // 2
    found = of_test([[first, 50 - first], [50 - (right - first), right - first]])
    low, _ = wilson(right, 100)
    assert (low <= 0.5) == warned
    said = evidence.warnings(found)
    assert bool(said) == warned
    assert not said or said[0].startswith("Below chance level: " if right == 10 else "At chance level: ")


def test_what_was_not_tested_is_not_warned_of() -> None:
    assert evidence.warnings(network(rows(4), LABELS, accuracy=None)) == []


@pytest.mark.parametrize(
    ("gained", "lost", "said"),
    [
        (0, 0, "Both get the same of the 200 test images right."),
        (5, 0, "5 are right only with it and 0 only without: no more than the choice of test images makes"),
        (6, 0, "6 are right only with it and 0 only without: more than the choice of test images makes"),
        (17, 4, "more than the choice of test images makes (exact McNemar test, p = 0.0072)."),
        (40, 2, "(exact McNemar test, p < 0.001)."),
    ],
)
def test_two_networks_are_judged_in_pairs(gained: int, lost: int, said: str) -> None:
    text = evidence.verdict(predictions.Paired(gained, lost, 200), "without", "with it")
    assert said in text
    if gained == 5:
        assert " no more than" in text


def test_pairs_are_counted_on_the_same_images_alone(tmp_path: Path) -> None:
    labels = np.array([0, 0, 1, 1, 1], np.int32)
    first = predictions.Predictions(np.array([0, 1, 1, 0, 0], np.int32), labels, "a")
    second = predictions.Predictions(np.array([0, 0, 0, 1, 0], np.int32), labels, "a")
    assert predictions.compare(first, second) == predictions.Paired(gained=2, lost=1, count=5)
    with pytest.raises(NotComparableError, match="different test images"):
        predictions.compare(first, predictions.Predictions(second.predicted, labels, "b"))
    with pytest.raises(NotComparableError):
        predictions.compare(
            first, predictions.Predictions(second.predicted[:4], labels[:4], "a"), same_images=True
        )
    predictions.write(tmp_path, "head", first)
    again = predictions.read(tmp_path, "head")
    assert (again.predicted == first.predicted).all()
    assert (again.labels == labels).all()
    assert again.images == "a"
    (tmp_path / run_folder.predictions_file("head")).write_bytes(b"no archive")
    with pytest.raises(RunDamagedError, match="--force"):
        predictions.read(tmp_path, "head")
    with pytest.raises(NotComparableError, match="older version"):
        predictions.read(tmp_path, "other")


def test_runs_on_the_same_images_at_another_size_can_be_compared(tmp_path: Path) -> None:
    """All of one test set are the same images, though their bytes differ; a part of it need not be."""
    labels = np.arange(6, dtype=np.int32) % 2
    found = {}
    for name, images, sha in (("small", "s", "0"), ("large", "l", "0"), ("others", "o", "1")):
        data = invented_runs.REAL | {"test_images": 6, "sha256": sha * 64}
        folder = invented_runs.write(tmp_path, invented_runs.experiment(name), {}, {}, data=data)
        predictions.write(folder, "head", predictions.Predictions(labels, labels, images))
        predictions.write(folder, "part", predictions.Predictions(labels[:4], labels[:4], images))
        found[name] = Findings(run_folder.finished_in(folder), tmp_path)
    assert found["small"].paired("head", found["large"], "head").count == 6
    for first, second in (("head", "others"), ("part", "large")):
        with pytest.raises(NotComparableError):
            found["small"].paired(first, found[second], first)
    said = evidence.pairs(found["small"], "head", found["others"], "head", words=("a", "b"))
    assert said == "They were tried on different test images: they can't be compared in pairs."


def test_times_are_compared_only_of_a_machine_that_did_nothing_else() -> None:
    quiet, busy, unknown = {"others_share": 0.02}, {"others_share": 0.1}, {"others_share": None}
    assert evidence.quiet(quiet, quiet)
    assert evidence.meanwhile(quiet) == ""
    assert not evidence.quiet(quiet, busy)
    assert "up to 10 % of the processors' time" in evidence.meanwhile(quiet, busy)
    for trained in (unknown, {}):
        assert not evidence.quiet(trained)
        assert "not known" in evidence.meanwhile(trained)


def test_the_time_of_other_programs_is_a_share() -> None:
    others = Others()
    sum(number * number for number in range(200_000))
    share = others.share()
    assert share is None or 0 <= share <= 1


def test_tracing_is_not_counted_as_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call of an epoch takes 10 s, the other three 1 s each: four calls at their pace are 4 s."""
    now = iter([10.0, 11.0, 12.0, 13.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    clock = _Clock(steps=100)
    for done in (25, 50, 75, 100):
        clock.tick(done)
    monkeypatch.undo()
    assert clock.seconds == pytest.approx(4)
    once = _Clock(steps=5)
    once.tick(5)
    assert once.seconds is None


OWN = {"data": "/home/me/photos", "backbone": "mobilenet", "alpha": 0.25, "image_size": 96}


@pytest.mark.parametrize(
    "experiment", [each for each in EXPERIMENTS if each.phrases], ids=lambda each: each.name
)
def test_texts_about_other_images_and_networks_name_them(experiment: Any) -> None:
    texts = [experiment.title, experiment.task, *(each.description for each in experiment.servables)]
    for phrase in experiment.phrases:
        assert any(phrase in text for text in texts), phrase
    adapted = " ".join(
        description.adapted(text, experiment.phrases, {"options": OWN}, ("bird", "fish")) for text in texts
    )
    for gone in ("cats from dogs", "Cats and dogs", "Xception", "VGG16", "InceptionV3", "CIFAR", "hundred"):
        assert gone not in adapted
    assert "bird" in adapted
    assert texts[0] == description.adapted(texts[0], experiment.phrases, {"options": {}}, ("bird", "fish"))


def test_a_card_says_what_a_model_of_ones_own_tells_apart(tmp_path: Path) -> None:
    experiment = find("cats-dogs-xception")
    net = of_test([[5, 5], [5, 5]], ("bird", "fish")) | {"input": [96, 96, 3]}
    folder = invented_runs.write(
        tmp_path, experiment, {"fine-tuned": net}, {}, given=OWN, weights=invented_runs.IMAGENET
    )
    card = model_card.card(experiment, experiment.servables[0], run_folder.finished_in(folder))
    assert card["description"] == "Tells bird from fish."
    assert card["task"].startswith(
        "mobilenet of width 0.25, frozen, with a new last layer learns to tell bird"
    )
    (warning,) = card["warnings"]
    assert warning.startswith("At chance level: 50.00 %")


def test_a_network_at_chance_level_is_warned_of_wherever_it_appears(tmp_path: Path) -> None:
    invented_runs.write(tmp_path, OF, {"head": of_test([[0, 10], [0, 190]])}, {"test_accuracy": 0.95})
    page = report.write([OF], tmp_path).read_text()
    assert "head: At chance level: 95.00 %" in page
    text = results.write([OF], tmp_path, tmp_path / "docs").read_text()
    assert "- **head: At chance level: 95.00 %" in text


def test_curves_on_the_test_images_are_not_called_validation(tmp_path: Path) -> None:
    shown = []
    for name, on_test in (("one", True), ("two", False)):
        net = network(rows(4), LABELS, validated_on_test=on_test)
        of = invented_runs.experiment(name)
        folder = invented_runs.write(tmp_path, of, {"head": net}, {"test_accuracy": 0.8})
        shown.append((of, run_folder.finished_in(folder)))
    caption = report_curves.all_curves(tmp_path / "a.png", "000", shown[:1])
    assert "on the test images" in caption
    assert "on the images set aside for validation." in report_curves.all_curves(
        tmp_path / "b.png", "000", shown[1:]
    )
    assert "or the test images where none are" in report_curves.all_curves(tmp_path / "c.png", "000", shown)
    pages = {
        name: report.write([invented_runs.experiment(name)], tmp_path).read_text() for name in ("one", "two")
    }
    assert "The best test accuracy" in pages["one"]
    assert "The best validation accuracy" in pages["two"]
