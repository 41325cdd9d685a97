"""A tiny study on procedural images, in real processes; and what its numbers are turned into."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from keraserve_training import experiment, profiles, statistics
from keraserve_training.errors import OptionError, StudyError
from keraserve_training.options import NONE, Options
from keraserve_training.records import run_folder
from keraserve_training.reporting import report
from keraserve_training.run import RunSpec
from keraserve_training.studies import pieces, seeds, study
from keraserve_training.workers.local import Processes
from keraserve_training.workers.work import Done, Work


def do(reuse: experiment.Experiment, runs: Path, told: list[str]) -> dict[str, Any]:
    def tell(done: int, total: int, last: str) -> None:
        told.append(f"{done}/{total} {last}")

    return study.do(
        reuse, runs, profile="sample", variants=("5-6",), seeds=1, workers=Processes(1), tell=tell
    )


def test_a_study_from_pieces_to_report(tmp_path: Path, reuse: experiment.Experiment) -> None:
    told: list[str] = []
    summary = do(reuse, tmp_path, told)
    assert told == ["1/1 5-6 with seed 1"]
    there = study.folder(tmp_path, reuse.name, "sample")
    assert summary["procedural"]
    assert summary["pieces"] == 1
    document, constant = summary["comparisons"]
    assert document["gain"]["5-6"]["low"] is None
    assert "On the document's schedule: " in study.words(summary)[0]
    assert "proves nothing" in study.words(summary)[0]
    assert constant["title"] in study.words(summary)[1]
    assert not list(there.glob("*/*/model.keras"))  # only figures are kept of a piece

    # Again: everything is there already.
    kept = (there / "5-6-seed1" / "metrics.json").read_bytes()
    assert do(reuse, tmp_path, [])["comparisons"] == summary["comparisons"]
    assert (there / "5-6-seed1" / "metrics.json").read_bytes() == kept

    page = report.write([reuse], tmp_path).read_text()
    assert "Does reuse help?" in page
    assert "Procedural images: this study" in page
    assert "proves nothing" in page
    assert "Document&#39;s schedule, B alone" in page


def test_pieces_of_older_versions_are_done_anew(tmp_path: Path, reuse: experiment.Experiment) -> None:
    do(reuse, tmp_path, [])
    piece = study.folder(tmp_path, reuse.name, "sample") / "5-6-seed1"
    content = run_folder.read_json(piece / run_folder.METRICS)
    whole = set(content["metrics"])
    content["metrics"] = {"test_accuracy_b_on_a": 0.5, "test_accuracy_b_alone": 0.9, "gain": -0.4}
    (piece / run_folder.METRICS).write_text(json.dumps(content))
    do(reuse, tmp_path, [])
    assert set(run_folder.read_json(piece / run_folder.METRICS)["metrics"]) == whole
    config = (piece / run_folder.CONFIG).read_text()
    (piece / run_folder.CONFIG).write_text(config.replace("train_images", "train_pictures"))
    do(reuse, tmp_path, [])
    assert "train_images" in run_folder.read_config(piece)["data"]


def test_the_summary_of_many_pieces(tmp_path: Path, reuse: experiment.Experiment) -> None:
    assert reuse.study
    pieces = [("5-6", 1, 0.02), ("5-6", 2, 0.04), ("2-4", 1, -0.02), ("2-4", 2, 0.0)]
    first, second = reuse.study.comparisons
    rows: list[dict[str, Any]] = [
        {
            "variant": variant,
            "seed": seed,
            first.gain: gain,
            second.gain: 0.0,
            **dict.fromkeys((*first.compared, *second.compared), 0.5),
            "seconds": 1,
        }
        for variant, seed, gain in pieces
    ]
    meanings = {"5-6": "sandal or shirt", "2-4": "pullover or coat"}
    summary = study._summarise(tmp_path, reuse.study, "full", meanings, rows, NONE)
    found, level = summary["comparisons"]
    assert found["gain"]["5-6"]["mean"] == pytest.approx(0.03)
    # t(0.975, 1) = 12.706, s / sqrt(2) = 0.01
    assert found["gain"]["5-6"]["high"] == pytest.approx(0.03 + 12.706 * 0.01, abs=1e-4)
    assert found["gain"][study.OVERALL]["mean"] == pytest.approx(0.01)  # of the seeds' means 0.00 and 0.02
    assert (found["helped"], level["helped"], summary["pieces"], summary["seeds"]) == (2, 0, 4, 2)
    assert json.loads((tmp_path / study.SUMMARY).read_text()) == summary
    with (tmp_path / study.TABLE).open() as file:
        assert [row[first.gain] for row in csv.DictReader(file)] == ["0.02", "0.04", "-0.02", "0.0"]
    with Image.open(tmp_path / study.PLOT) as image:
        assert image.width > 600


def test_the_best_study_is_found_whatever_its_options(tmp_path: Path) -> None:
    assert study.read(tmp_path, "one") is None
    for profile, options in (("sample", ""), ("full", "vgg19"), ("full", "mobilenet"), ("full", "")):
        there = study.folder(tmp_path, "one", profile, options)
        there.mkdir(parents=True)
        (there / study.SUMMARY).write_text(json.dumps({"title": options, "comparisons": []}))
        assert study.read(tmp_path, "one") == (there, {"title": options, "comparisons": []})
    (there / study.SUMMARY).write_text(json.dumps({"title": "of an older version", "gain": {}}))
    found = study.read(tmp_path, "one")
    assert found is not None
    assert found[1]["title"] == "mobilenet"
    found = [one.name for one in study.folders(tmp_path, "one", "full")]
    assert found == ["full", "full+mobilenet", "full+vgg19"]


def test_an_experiment_without_a_study_says_so(reuse: experiment.Experiment, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="has no study"):
        do(dataclasses.replace(reuse, study=None), tmp_path, [])


class Remembering:
    """Workers that do nothing but remember."""

    def __init__(self, results: list[Any]) -> None:
        self.results, self.work = results, []

    def do(self, work: list[Work], tell: Any) -> list[Done]:
        self.work = work
        done = [Done(each.name, **result) for each, result in zip(work, self.results, strict=True)]
        for each in done:
            tell(each)
        return done


def test_options_reach_every_piece_and_the_folders_name(reuse: experiment.Experiment, tmp_path: Path) -> None:
    takes_it = dataclasses.replace(reuse, takes=("strategy",))
    workers = Remembering([{"error": "no luck"}] * 2)
    options = Options(strategy="mirrored")
    common: dict[str, Any] = {"seeds": 1, "workers": workers, "tell": lambda *_: None, "options": options}
    with pytest.raises(StudyError, match=r"2 of 2 pieces failed. 2-4 with seed 1: no luck 5-6 with seed 1"):
        study.do(takes_it, tmp_path, profile="sample", variants=("5-6", "2-4"), **common)
    assert [each.arguments["options"] for each in workers.work] == [{"strategy": "mirrored"}] * 2
    folder = study.folder(tmp_path, reuse.name, "sample", options.slug())
    assert folder.relative_to(tmp_path).parts[1:] == ("study", "sample+mirrored")
    with pytest.raises(OptionError):
        study.do(reuse, tmp_path, profile="sample", variants=("5-6",), **common)


def test_several_seeds_of_an_experiment_without_a_question(
    reuse: experiment.Experiment, tmp_path: Path
) -> None:
    figure = reuse.figures[0]
    values = [0.90, 0.92, 0.91]
    workers = Remembering([{"result": {"seed": 1, figure.metric: value, "seconds": 1}} for value in values])
    told: list[tuple[int, int, str]] = []
    common: dict[str, Any] = {"workers": workers, "tell": lambda *each: told.append(each)}
    rows = seeds.do(reuse, tmp_path, profile=profiles.SAMPLE, seeds=3, options=NONE, **common)
    assert told == [(1, 3, "seed 1"), (2, 3, "seed 2"), (3, 3, "seed 3")]
    assert [each.arguments["seed"] for each in workers.work] == [1, 2, 3]
    (sentence,) = seeds.words(reuse, rows)
    mean = statistics.mean_interval(values)
    assert sentence == (
        f"{figure.title}: 91.00 % on average over 3 seeds, 95 % interval {100 * mean.low:.2f} % to"
        f" {100 * mean.high:.2f} % (from 90.00 % to 92.00 %)."
    )
    (alone,) = seeds.words(reuse, rows[:1])
    assert "90.00 % with the only seed" in alone


def test_a_seed_is_an_ordinary_run_and_is_not_done_again(runs: Path, reuse: experiment.Experiment) -> None:
    (finished,) = run_folder.finished(runs, reuse.name)
    work = pieces.work("again", reuse, runs, RunSpec(profiles.SAMPLE, 42))
    row = work.function(**work.arguments)
    assert row == {"seed": 42, **finished.metrics["metrics"], "seconds": finished.metrics["seconds"]}


def test_beginning_anew_is_done_before_the_piece(reuse: experiment.Experiment, tmp_path: Path) -> None:
    folder = run_folder.path(tmp_path, reuse.name, "sample", 1)
    (folder / "model-a").mkdir(parents=True)
    (folder / run_folder.METRICS).write_text("{}")
    pieces.begin_anew(reuse, tmp_path, RunSpec(profiles.SAMPLE, 1))
    assert sorted(path.name for path in folder.iterdir()) == [run_folder.LOCK, run_folder.CONFIG]


def summary_of(gain: dict[str, Any], *, variants: dict[str, str], helped: int, **more: Any) -> dict[str, Any]:
    accuracy = {"mean": 0.95, "low": 0.94, "high": 0.96, "count": 5}
    compared = {
        "title": "",
        "gain": {**dict.fromkeys(variants, gain), study.OVERALL: gain},
        "helped": helped,
        "compared": [accuracy, {"mean": 0.93, "low": None, "high": None, "count": 1}],
    }
    return {"variants": variants, "pieces": 10, "subject": "reuse", "comparisons": [compared | more]}


PAIRS = {"5-6": "sandal or shirt", "2-4": "pullover or coat"}


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.03, "reuse helps (+2.0 points of test accuracy on average, 95 % interval +1.0 to +3.0)"),
        (-0.03, -0.01, "reuse does harm (\u22122.0 points"),
        (-0.01, 0.05, "no clear effect ("),
        (0.0, 0.02, "no clear effect ("),
        (-0.02, 0.0, "no clear effect ("),
    ],
)
def test_words_follow_from_the_interval(low: float, high: float, verdict: str) -> None:
    gain = {"mean": (low + high) / 2, "low": low, "high": high, "count": 5}
    first, second = study.words(summary_of(gain, variants=PAIRS, helped=3, title="On one schedule"))
    assert first.startswith(f"On one schedule: {verdict}")
    assert "Reuse gave the better network in 3 of 10 pieces." in first
    assert second.startswith("On one schedule: sandal or shirt (5-6) ")
    assert "; pullover or coat (2-4) " in second
    assert "helps" not in second  # of a single pair there is a figure alone


@pytest.mark.parametrize("count", [2, 4])
def test_fewer_than_five_seeds_give_no_verdict(count: int) -> None:
    gain = {"mean": 0.02, "low": 0.01, "high": 0.03, "count": count}
    said = " ".join(study.words(summary_of(gain, variants=PAIRS, helped=10)))
    assert f"with {count} seeds, too few for a verdict" in said
    assert "helps" not in said


def test_a_study_of_one_variant_says_what_it_is_about() -> None:
    gain = {"mean": 0.02, "low": 0.01, "high": 0.03, "count": 5}
    summary = summary_of(gain, variants={"as-is": "as in the source document"}, helped=10)
    (only,) = study.words(summary | {"subject": "fine-tuning"})
    assert only.startswith("Fine-tuning helps (+2.0 points")
    assert "Fine-tuning gave the better network in 10 of 10 pieces." in only
    assert only.endswith(
        "Test accuracy with fine-tuning: 95.00 % on average, 95 % interval 94.00 % to 96.00 %; without:"
        " 93.00 %."
    )
