"""The page stands alone, says what was measured, and says what is procedural."""

import html
import re
from pathlib import Path

from keraserve_training import experiment, report
from keraserve_training.run_folder import FinishedRun


def test_the_page_needs_no_network(runs: Path, reuse: experiment.Experiment) -> None:
    page = report.write([reuse], runs).read_text()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", page)
    assert "http" not in re.sub(r"data:[^\"]+", "", page)
    assert "url(" not in page
    assert page.count("data:image/png;base64,") == 4


def test_it_shows_what_was_measured(runs: Path, reuse: experiment.Experiment, finished: FinishedRun) -> None:
    page = html.unescape(report.write([reuse], runs).read_text())
    metrics = finished.metrics["metrics"]
    assert f"{100 * metrics['test_accuracy_a']:.2f} %" in page
    assert "276,158" in page
    assert "Procedural pictures" in page
    assert "<dt>Weights</dt><dd>none</dd>" in page
    for figure in reuse.figures:
        assert figure.title in page
    for sentence in reuse.learnt(metrics):
        assert sentence in page


def test_what_was_not_run_is_named_with_its_command(tmp_path: Path, reuse: experiment.Experiment) -> None:
    page = report.write([reuse], tmp_path / "runs").read_text()
    assert "0 of 1 experiments finished" in page
    assert "keraserve-train run fashion-mnist-reuse" in page


def test_lengths_of_time() -> None:
    assert [report.duration(seconds) for seconds in (1.25, 61, 3700)] == ["1.2 s", "1 min 1 s", "1 h 1 min"]
