"""Whole runs as pieces of work for any process or machine: for `train-all`, and for several seeds of one."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keraserve_training import open_run
from keraserve_training.experiment import Experiment
from keraserve_training.experiments import find
from keraserve_training.options import Options
from keraserve_training.profiles import PROFILES
from keraserve_training.records import run_folder
from keraserve_training.run import RunSpec
from keraserve_training.workers.work import Work


def run(
    *, runs: Path, experiment: str, profile: str, seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Do a run, or what is left of it, in its own folder; returns its seed, figures and seconds.

    Raises:
        TrainingError: as a run does.
    """
    spec = RunSpec(PROFILES[profile], seed, Options(**options))
    folder = spec.folder(runs, experiment)
    open_run.execute(find(experiment), folder, spec)
    return row(folder, seed)


def row(folder: Path, seed: int) -> dict[str, Any]:
    """The figures of a finished run, as a row of a table."""
    content = run_folder.read_json(folder / run_folder.METRICS)
    return {"seed": seed, **content["metrics"], "seconds": content["seconds"]}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV; what a row lacks is left empty."""
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def work(name: str, experiment: Experiment, runs: Path, spec: RunSpec) -> Work:
    """A run as a piece of work."""
    given = {"profile": spec.profile.name, "seed": spec.seed, "options": spec.options.given()}
    return Work(name, run, {"runs": runs.resolve(), "experiment": experiment.name, **given})


def begin_anew(experiment: Experiment, runs: Path, spec: RunSpec) -> None:
    """Delete what a run has done. Not part of the piece: one that is repeated after a crash has to go on.

    Raises:
        RunBusyError: a process trains in the folder.
    """
    with open_run.opened(experiment, spec.folder(runs, experiment.name), spec, force=True):
        pass
