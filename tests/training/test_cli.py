"""The command line: one clear sentence for every failure, and no stack trace."""

import html
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from keraserve_training import cli, open_run
from keraserve_training.errors import DataUnavailableError
from keraserve_training.experiment import Experiment
from keraserve_training.experiments import registry
from keraserve_training.exporting import export
from keraserve_training.options import Options
from keraserve_training.records import run_folder
from keraserve_training.reporting import ranges
from keraserve_training.run import RunSpec


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process; gives its exit status."""
    monkeypatch.setattr(sys, "argv", ["keraserve-train", *arguments])
    try:
        cli.main()
    except SystemExit as done:
        return int(done.code or 0)
    return 0


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def test_list_shows_states(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "list", "--runs", str(runs), "--profile", "sample") == 0
    assert "finished" in capsys.readouterr().out
    assert call(monkeypatch, "list") == 0
    assert "not run" in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "80")
    assert call(monkeypatch, "list") == 0
    assert set(registry()) <= set(capsys.readouterr().out.split())  # no name is broken


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "fashion"], "Did you mean fashion-mnist-reuse or"),
        (["run", "fashion-mnist-reuse", "--profile", "x"], "take one of full, quick, sample"),
        (["export"], "There is no finished run of profile full in runs: train first"),
        (["export", "nothing"], "There is no experiment 'nothing'"),
        (["report", "--runs", "typo"], "There is no finished run in typo: train first"),
        (["results", "--runs", "typo"], "There is no finished run in typo: train first"),
        (["study", "fashion-mnist-reuse", "--pairs", "5-6,7"], "'7' is not a pair of classes"),
        (["nonsense"], "No such command 'nonsense'"),
        (["run"], "Missing argument 'experiment'"),
        (["run", "x", "--seed", "many"], "--seed"),
        (["run", "fashion-mnist-reuse", "--data", "."], "does not take --data"),
        (["run", "fashion-mnist-reuse", "--set", "epoch=3"], "no setting 'epoch'. Did you mean epochs"),
        (["study", "cifar100-cnn", "--vary", "epochs=1,x"], "epochs can't be 'x'"),
        (["find-rate", "cifar100-cnn", "--phase", "x"], "no learning rate 'x': it has learning_rate"),
        (["run", "fashion-mnist-reuse", "--name", "Über"], "can't be a model's name"),
        (["run", "fashion-mnist-reuse", "--strategy", "many"], "There is no strategy 'many'"),
        (["run", "fashion-mnist-reuse", "--alpha", "0.5"], "--backbone mobilenet"),
        (["train-all", "nothing-*"], "There is no experiment 'nothing-*'"),
    ],
)
def test_failures_are_one_sentence(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *arguments) != 0
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(28, "No space left on device", "runs/x"), "Free disk space and run the same command again"),
        (PermissionError(13, "Permission denied", "runs"), "Choose a folder that you may write"),
        (KeyboardInterrupt(), "Run the same command again to go on"),
        (DataUnavailableError("Connect this machine once."), "Connect this machine once."),
    ],
)
def test_errors_below_the_command_are_one_sentence(
    error: BaseException, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> bool:
        raise error

    monkeypatch.setattr(open_run, "execute", fails)
    assert call(monkeypatch, "run", "fashion-mnist-reuse") != 0
    assert sentence in capsys.readouterr().err


def test_the_trace_of_an_unexpected_error_goes_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> bool:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(open_run, "execute", fails)
    assert call(monkeypatch, "run", "fashion-mnist-reuse") == 1
    assert "Traceback" not in capsys.readouterr().err
    assert "ZeroDivisionError: oh" in (tmp_path / "keraserve-train-error.log").read_text()


def test_one_failing_experiment_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[object] = []

    def fails(*arguments: object, **_: object) -> bool:
        tried.append(arguments)
        raise DataUnavailableError("Connect this machine once.")

    monkeypatch.setattr(open_run, "execute", fails)
    assert call(monkeypatch, "train-all", "fashion-*") == 1
    assert len(tried) == 2
    error = capsys.readouterr().err
    assert "2 of 2 experiments failed" in error
    assert "- fashion-mnist-optimizers: Connect this machine once." in error


def test_train_all_gives_each_experiment_the_options_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Options] = {}

    def notes(experiment: Experiment, _: Path, spec: RunSpec, *__: object, **___: object) -> bool:
        given[experiment.name] = spec.options
        raise DataUnavailableError("Connect this machine once.")

    monkeypatch.setattr(open_run, "execute", notes)
    assert call(monkeypatch, "train-all", "--backbone", "mobilenet", "--alpha", "0.25") == 1
    assert given["fashion-mnist-reuse"] == Options()


def test_a_finished_run_is_shown_not_run(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "fashion-mnist-reuse", "--runs", str(runs), "--profile", "sample"]
    assert call(monkeypatch, *arguments) == 0
    out = capsys.readouterr().out
    assert "Finished before; --force starts anew" in out
    assert "Procedural images" in out


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("metrics.json", "{", "", "run again with --force"),
        (
            "config.json",
            "_images",
            "_pictures",
            "a run of an older version, which can't be read any more: run",
        ),
    ],
)
def test_a_run_that_can_not_be_read_is_said(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    old: str,
    new: str,
    said: str,
) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    folder = run_folder.path(tmp_path / "runs", "fashion-mnist-reuse", "sample", 42)
    (folder / file).write_text((folder / file).read_text().replace(old, new))
    for command in (["export"], ["run", "fashion-mnist-reuse"]):
        assert call(monkeypatch, *command, "--profile", "sample") == 1
        assert said in capsys.readouterr().err
    assert call(monkeypatch, "report") == 0  # about the others there is something to report
    assert said in html.unescape((tmp_path / "runs" / "report.html").read_text())
    monkeypatch.setattr(ranges, "write", lambda *_: None)  # it would write into the package
    assert call(monkeypatch, "results") == 0
    assert said in capsys.readouterr().err


def test_export_says_what_it_did(
    runs: Path, models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", "--runs", str(runs), "--models", str(models), "--profile", "sample"]
    monkeypatch.setattr(export, "_write", None)  # must not be called: everything is there
    assert call(monkeypatch, *arguments) == 0
    assert "fashion-mnist-reuse-b-sample: already exported as version 1" in capsys.readouterr().out


def test_interrupt_from_the_keyboard_leaves_no_trace(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "keraserve_training.cli", "run", "fashion-mnist-reuse"]
    command += ["--profile", "sample"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        folder = run_folder.path(tmp_path / "runs", "fashion-mnist-reuse", "sample", 42)
        while not (folder / "config.json").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    assert process.returncode == 130
    assert error.strip() == "Stopped. Run the same command again to go on where it was."


def test_a_network_at_chance_level_is_exported_with_a_warning(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    file = run_folder.path(tmp_path / "runs", "fashion-mnist-reuse", "sample", 42) / run_folder.METRICS
    content = run_folder.read_json(file)
    content["networks"]["model-b-on-a"]["test"] |= {"accuracy": 0.5, "confusion": [[5, 5], [5, 5]]}
    file.write_text(json.dumps(content))
    assert call(monkeypatch, "export", "fashion-mnist-reuse", "--profile", "sample") == 0
    said = capsys.readouterr().out
    assert "fashion-mnist-reuse-b-sample: At chance level: 50.00 %" in said
    (card,) = (tmp_path / "models/fashion-mnist-reuse-b-sample").glob("1/assets.extra/model_card.json")
    assert any(warning.startswith("At chance level") for warning in json.loads(card.read_text())["warnings"])
    assert call(monkeypatch, "run", "fashion-mnist-reuse", "--profile", "sample") == 0
    assert "model-b-on-a: At chance level: 50.00 %" in capsys.readouterr().out
