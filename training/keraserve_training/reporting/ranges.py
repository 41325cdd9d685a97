"""Measure the expected ranges of all figures over the finished full runs, for `expected_ranges`."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keraserve_models import atomic
from keraserve_training import expected_ranges
from keraserve_training.errors import OlderVersionError
from keraserve_training.experiment import Experiment
from keraserve_training.records import caveats, run_folder
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.reporting import gathering
from keraserve_training.studies import study

_FULL = "full"


def measure(experiments: Iterable[Experiment], runs: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The range of every figure over the finished full runs with real images.

    Runs with options have their own (`expected_ranges.key`). The pieces of a study whose settings are those
    of the experiment count as its runs with the same options; pieces of an older version are left out.

    Raises:
        RunDamagedError: a piece of a study can't be read.
    """
    content: dict[str, dict[str, dict[str, float]]] = {}
    for experiment in experiments:
        found: dict[str, list[FinishedRun]] = {}
        for group in gathering.gather(runs, experiment.name).groups:
            key = expected_ranges.key(experiment.name, gathering.key(group.latest))
            found.setdefault(key, []).extend(run for run in group.runs if _counts(run))
        for there in study.folders(runs, experiment.name, _FULL):
            for file in sorted(there.glob(f"*/{run_folder.METRICS}")):
                with contextlib.suppress(OlderVersionError):
                    piece = run_folder.finished_in(file.parent)
                    own = experiment.settings.changed(piece.config["settings"])
                    key = expected_ranges.key(experiment.name, gathering.key(_with(piece, own)))
                    if _counts(piece) and not own:
                        found.setdefault(key, []).append(piece)
        content |= {key: _ranges(experiment, made) for key, made in sorted(found.items()) if made}
    return content


def write(experiments: Iterable[Experiment], runs: Path, file: Path) -> dict[str, dict[str, Any]]:
    """Write what `measure` gives to `file`; returns it. Raises as `measure`."""
    content = measure(experiments, runs)
    atomic.write_json(file, content)
    return content


def _with(run: FinishedRun, settings: dict[str, Any]) -> FinishedRun:
    return replace(run, config=run.config | {"settings": settings})


def _counts(run: FinishedRun) -> bool:
    return run.profile == _FULL and caveats.PROCEDURAL not in caveats.of(run.config)


def _ranges(experiment: Experiment, made: Sequence[FinishedRun]) -> dict[str, dict[str, float]]:
    # The same seed may have been run alone and as a piece of a study: it counts once.
    by_seed = {run.config["seed"]: run.metrics["metrics"] for run in made}
    ranges: dict[str, dict[str, float]] = {}
    for figure in experiment.figures:
        values = [metrics[figure.metric] for metrics in by_seed.values() if figure.metric in metrics]
        if values:
            ranges[figure.metric] = {"low": min(values), "high": max(values), "runs": len(values)}
    return ranges
