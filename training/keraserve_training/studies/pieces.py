"""Whole runs as pieces of work that any process or machine can do: `train-all`, and several seeds of one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keraserve_training import open_run
from keraserve_training.experiment import Experiment
from keraserve_training.experiments import find
from keraserve_training.options import NONE, Options
from keraserve_training.profiles import PROFILES, Profile
from keraserve_training.progress import Silent
from keraserve_training.records import run_folder
from keraserve_training.run import RunSpec
from keraserve_training.workers.work import Done, Work


def run(
    *, runs: Path, experiment: str, profile: str, seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Do a run in its own folder, or what is left of it; gives its seed, figures and seconds.

    Raises:
        TrainingError: as a run does.
    """
    given = Options(**options)
    folder = run_folder.path(runs, experiment, profile, seed, given.slug())
    open_run.execute(
        find(experiment), folder, profile=PROFILES[profile], seed=seed, show=Silent(), options=given
    )
    return row(folder, seed)


def row(folder: Path, seed: int) -> dict[str, Any]:
    """What a finished run gave, as a row of a table."""
    content = run_folder.read_json(folder / run_folder.METRICS)
    return {"seed": seed, **content["metrics"], "seconds": content["seconds"]}


def work(
    name: str, experiment: Experiment, runs: Path, profile: Profile, seed: int, options: Options = NONE
) -> Work:
    """A run as a piece; `name` is for people."""
    arguments = {
        "runs": runs.resolve(),
        "experiment": experiment.name,
        "profile": profile.name,
        "seed": seed,
        "options": options.given(),
    }
    return Work(name, run, arguments)


def begin_anew(experiment: Experiment, runs: Path, profile: Profile, seed: int, options: Options) -> None:
    """Throw away what a run has done. Not a matter of the piece: one that is tried again has to go on.

    Raises:
        RunBusyError: a process is at it.
    """
    spec = RunSpec(experiment.name, profile, seed, {}, options, experiment.weights)
    folder = run_folder.path(runs, experiment.name, profile.name, seed, options.slug())
    with open_run.opened(folder, spec, Silent(), force=True):
        pass


def failures(done: Sequence[Done]) -> dict[str, str]:
    """Why each piece failed that did, by its name."""
    return {each.name: each.error for each in done if each.error is not None}
