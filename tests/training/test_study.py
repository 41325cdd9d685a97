"""A tiny study on procedural pictures, in real processes; and what its numbers are turned into."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from keraserve_training import experiment, profiles, run_folder
from keraserve_training.errors import OptionError, StudyError
from keraserve_training.options import NONE, Options
from keraserve_training.reporting import report
from keraserve_training.spreading import intervals, pieces, seeds, study
from keraserve_training.spreading.spread import Done, Processes, Work


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
    assert summary["gain"]["5-6"]["low"] is None
    assert "proves nothing" in study.words(summary)[0]
    assert not list(there.glob("*/*/model.keras"))  # only figures are kept of a piece

    # Again: everything is there already.
    kept = (there / "5-6-seed1" / "metrics.json").read_bytes()
    assert do(reuse, tmp_path, [])["gain"]["5-6"]["mean"] == summary["gain"]["5-6"]["mean"]
    assert (there / "5-6-seed1" / "metrics.json").read_bytes() == kept

    page = report.write([reuse], tmp_path).read_text()
    assert "Does reuse help?" in page
    assert "Procedural pictures: this study" in page
    assert "proves nothing" in page


def test_the_summary_of_many_pieces(tmp_path: Path, reuse: experiment.Experiment) -> None:
    assert reuse.study
    pieces = [("5-6", 1, 0.02), ("5-6", 2, 0.04), ("2-4", 1, -0.02), ("2-4", 2, 0.0)]
    rows: list[dict[str, Any]] = [
        {
            "variant": variant,
            "seed": seed,
            "gain": gain,
            **dict.fromkeys(reuse.study.compared, 0.5),
            "seconds": 1,
        }
        for variant, seed, gain in pieces
    ]
    meanings = {"5-6": "sandal or shirt", "2-4": "pullover or coat"}
    summary = study._summarise(tmp_path, reuse.study, "full", meanings, rows, NONE)
    assert summary["gain"]["5-6"]["mean"] == pytest.approx(0.03)
    # t(0.975, 1) = 12.706, s / sqrt(2) = 0.01
    assert summary["gain"]["5-6"]["high"] == pytest.approx(0.03 + 12.706 * 0.01, abs=1e-4)
    assert summary["gain"][study.OVERALL]["mean"] == pytest.approx(0.01)  # of the seeds' means 0.00 and 0.02
    assert (summary["helped"], summary["pieces"], summary["seeds"]) == (2, 4, 2)
    assert json.loads((tmp_path / study.SUMMARY).read_text()) == summary
    with (tmp_path / study.TABLE).open() as file:
        assert [row["gain"] for row in csv.DictReader(file)] == ["0.02", "0.04", "-0.02", "0.0"]
    with Image.open(tmp_path / study.PICTURE) as picture:
        assert picture.width > 600


def test_the_best_study_is_found_whatever_its_options(tmp_path: Path) -> None:
    assert study.read(tmp_path, "one") is None
    for profile, options in (("sample", ""), ("full", "vgg19"), ("full", "mobilenet"), ("full", "")):
        there = study.folder(tmp_path, "one", profile, options)
        there.mkdir(parents=True)
        (there / study.SUMMARY).write_text(json.dumps({"title": options}))
        assert study.read(tmp_path, "one") == (there, {"title": options})
    assert [one.name for one in study.folders(tmp_path, "one", "full")] == [
        "full",
        "full+mobilenet",
        "full+vgg19",
    ]


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
    takes_all = dataclasses.replace(reuse, takes=("strategy",))
    workers = Remembering([{"error": "no luck"}] * 2)
    with pytest.raises(StudyError, match=r"2 of 2 pieces failed. 2-4 with seed 1: no luck 5-6 with seed 1"):
        study.do(
            takes_all,
            tmp_path,
            profile="sample",
            variants=("5-6", "2-4"),
            seeds=1,
            workers=workers,
            tell=lambda *_: None,
            options=Options(strategy="mirrored"),
        )
    assert [each.arguments["options"] for each in workers.work] == [{"strategy": "mirrored"}] * 2
    piece = study.Piece(reuse.name, "sample", "5-6", 1, {"strategy": "mirrored"})
    assert piece.folder(tmp_path).relative_to(tmp_path).parts[1:] == ("study", "sample+mirrored", "5-6-seed1")
    with pytest.raises(OptionError):
        study.do(
            reuse,
            tmp_path,
            profile="sample",
            variants=("5-6",),
            seeds=1,
            workers=workers,
            tell=lambda *_: None,
            options=Options(strategy="mirrored"),
        )


def test_several_seeds_of_an_experiment_without_a_question(
    reuse: experiment.Experiment, tmp_path: Path
) -> None:
    figure = reuse.figures[0]
    values = [0.90, 0.92, 0.91]
    workers = Remembering([{"result": {"seed": 1, figure.metric: value, "seconds": 1}} for value in values])
    told: list[tuple[int, int, str]] = []
    rows = seeds.do(
        reuse,
        tmp_path,
        profile=profiles.SAMPLE,
        seeds=3,
        options=Options(),
        workers=workers,
        tell=lambda *each: told.append(each),
    )
    assert told == [(1, 3, "seed 1"), (2, 3, "seed 2"), (3, 3, "seed 3")]
    assert [each.arguments["seed"] for each in workers.work] == [1, 2, 3]
    (sentence,) = seeds.words(reuse, rows)
    mean = intervals.mean_interval(values)
    assert sentence == (
        f"{figure.title}: 91.00 % on average over 3 seeds, 95 % interval {100 * mean.low:.2f} % to"
        f" {100 * mean.high:.2f} % (from 90.00 % to 92.00 %)."
    )
    (alone,) = seeds.words(reuse, rows[:1])
    assert "90.00 % with the only seed" in alone


def test_a_seed_is_an_ordinary_run_and_is_not_done_again(runs: Path, reuse: experiment.Experiment) -> None:
    (finished,) = run_folder.finished(runs, reuse.name)
    work = pieces.work("again", reuse, runs, profiles.SAMPLE, 42)
    row = work.function(**work.arguments)
    assert row == {"seed": 42, **finished.metrics["metrics"], "seconds": finished.metrics["seconds"]}


def test_beginning_anew_is_done_before_the_piece(reuse: experiment.Experiment, tmp_path: Path) -> None:
    folder = run_folder.path(tmp_path, reuse.name, "sample", 1)
    (folder / "model-a").mkdir(parents=True)
    (folder / run_folder.METRICS).write_text("{}")
    pieces.begin_anew(reuse, tmp_path, profiles.SAMPLE, 1, Options())
    assert sorted(path.name for path in folder.iterdir()) == [run_folder.LOCK, run_folder.CONFIG]


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.03, "reuse helps"), (-0.03, -0.01, "reuse does harm"), (-0.01, 0.05, "no clear effect")],
)
def test_words_follow_from_the_interval(low: float, high: float, verdict: str) -> None:
    gain = {"mean": (low + high) / 2, "low": low, "high": high, "count": 10}
    summary = {
        "variants": {"5-6": "sandal or shirt", "2-4": "pullover or coat"},
        "gain": {"5-6": gain, "2-4": gain, study.OVERALL: gain},
        "helped": 3,
        "pieces": 10,
    }
    first, second, _ = study.words(summary)
    assert verdict in first
    assert second.startswith(f"Sandal or shirt (5-6): {verdict}")


def test_a_study_of_one_variant_says_what_it_is_about() -> None:
    gain = {"mean": 0.02, "low": 0.01, "high": 0.03, "count": 5}
    accuracy = {"mean": 0.95, "low": 0.94, "high": 0.96, "count": 5}
    summary = {
        "variants": {"as-is": "as in the source document"},
        "gain": {"as-is": gain, study.OVERALL: gain},
        "compared": [accuracy, {"mean": 0.93, "low": None, "high": None, "count": 1}],
        "subject": "fine-tuning",
        "helped": 5,
        "pieces": 5,
    }
    first, second = study.words(summary)
    assert first.startswith("All together: fine-tuning helps (+2.0 points")
    assert "Fine-tuning gave the better network in 5 of 5 pieces." in first
    assert second == (
        "Test accuracy with fine-tuning: 95.00 % on average, 95 % interval 94.00 % to 96.00 %; without:"
        " 93.00 %."
    )
