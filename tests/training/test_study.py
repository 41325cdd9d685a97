"""A tiny study on procedural pictures, in real processes; and what its numbers are turned into."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from keraserve_training import experiment, report, study
from keraserve_training.errors import StudyError


def do(reuse: experiment.Experiment, runs: Path, told: list[str]) -> dict[str, Any]:
    def tell(done: int, total: int, last: str) -> None:
        told.append(f"{done}/{total} {last}")

    return study.do(reuse, runs, profile="sample", variants=("5-6",), seeds=1, jobs=1, tell=tell)


def test_a_study_from_pieces_to_report(tmp_path: Path, reuse: experiment.Experiment) -> None:
    told: list[str] = []
    summary = do(reuse, tmp_path, told)
    assert told == ["1/1 5-6 with seed 1"]
    there = study.folder(tmp_path, reuse.name, "sample")
    assert summary["procedural"]
    assert summary["pieces"] == 1
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
    summary = study._summarise(tmp_path, reuse.study, "full", meanings, rows)
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


def test_an_experiment_without_a_study_says_so(reuse: experiment.Experiment, tmp_path: Path) -> None:
    import dataclasses

    with pytest.raises(StudyError, match="has no study"):
        do(dataclasses.replace(reuse, study=None), tmp_path, [])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.01, 0.03, "reuse helps"), (-0.03, -0.01, "reuse does harm"), (-0.01, 0.05, "no clear effect")],
)
def test_words_follow_from_the_interval(low: float, high: float, verdict: str) -> None:
    gain = {"mean": (low + high) / 2, "low": low, "high": high, "count": 10}
    summary = {
        "variants": {"5-6": "sandal or shirt"},
        "gain": {"5-6": gain, study.OVERALL: gain},
        "helped": 3,
        "pieces": 10,
    }
    first, second = study.words(summary)
    assert verdict in first
    assert second.startswith(f"Sandal or shirt (5-6): {verdict}")
