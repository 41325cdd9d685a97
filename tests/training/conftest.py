"""A real run and a real repository, made once: the sample profile trains in seconds."""

from pathlib import Path

import pytest

from keraserve_training import experiment, experiments, open_run, profiles, run, runtime
from keraserve_training.exporting import export
from keraserve_training.records import run_folder

SEED = 42


@pytest.fixture(scope="session")
def tensorflow() -> None:
    """TensorFlow as the command line sets it up."""
    runtime.prepare()


@pytest.fixture(scope="session")
def reuse() -> experiment.Experiment:
    return experiments.find("fashion-mnist-reuse")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, reuse: experiment.Experiment) -> Path:
    """A folder with one finished run; tests must not change it."""
    runs = tmp_path_factory.mktemp("runs")
    spec = run.RunSpec(profiles.SAMPLE, SEED)
    assert open_run.execute(reuse, spec.folder(runs, reuse.name), spec)
    return runs


@pytest.fixture(scope="session")
def finished(runs: Path, reuse: experiment.Experiment) -> run_folder.FinishedRun:
    (only,) = run_folder.finished(runs, reuse.name)
    return only


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, runs: Path, reuse: experiment.Experiment) -> Path:
    """A repository with version 1 of both servables; tests must not change it."""
    models = tmp_path_factory.mktemp("models")
    export.export([reuse], runs=runs, models=models, profile="sample")
    return models
