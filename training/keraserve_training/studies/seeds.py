"""The same experiment with several seeds: how much do its figures differ by chance?

Each seed is an ordinary run in an ordinary run folder, so the report, the export and `expected_ranges.json`
include it, and a run that exists is not done again.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keraserve_training import number_format, statistics
from keraserve_training.errors import StudyError
from keraserve_training.experiment import Experiment, Figure
from keraserve_training.options import Options
from keraserve_training.profiles import Profile
from keraserve_training.run import RunSpec
from keraserve_training.studies import pieces
from keraserve_training.workers.work import Done, Workers

Tell = Callable[[int, int, str], None]


def do(
    experiment: Experiment,
    runs: Path,
    *,
    profile: Profile,
    seeds: int,
    options: Options,
    workers: Workers,
    tell: Tell,
) -> list[dict[str, Any]]:
    """Do the runs with the seeds 1 to `seeds` that are not finished; `tell` is as for `study.do`.

    Returns:
        For each seed, in order: `seed`, the run's figures, `seconds`.

    Raises:
        OptionError: the experiment does not take one of the options.
        WorkerError: the workers failed.
        StudyError: at least one run failed; the others are kept.
    """
    experiment.check(options, {})
    work = [
        pieces.work(f"seed {seed}", experiment, runs, RunSpec(profile, seed, options))
        for seed in range(1, seeds + 1)
    ]
    return gathered(workers.do(work, counting(len(work), tell)))


def counting(total: int, tell: Tell) -> Callable[[Done], None]:
    """A function that calls `tell` with how many pieces of `total` are done, and which one was the last."""
    numbers = itertools.count(1)
    return lambda done: tell(next(numbers), total, done.name)


def gathered(done: Sequence[Done]) -> list[Any]:
    """The results of all pieces, in order.

    Raises:
        StudyError: at least one failed; says which and why.
    """
    failed = sorted(f"{each.name}: {each.error}" for each in done if each.error is not None)
    if failed:
        raise StudyError(f"{len(failed)} of {len(done)} pieces failed. {' '.join(failed)}")
    return [each.result for each in done]


def words(experiment: Experiment, rows: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for each figure that all seeds have."""
    return [
        _sentence(figure, [row[figure.metric] for row in rows])
        for figure in experiment.figures
        if all(figure.metric in row for row in rows)
    ]


def _sentence(figure: Figure, values: Sequence[float]) -> str:
    mean = statistics.mean_interval(values).within(*figure.limits)
    average = f"{figure.title}: {number_format.value(mean.mean, figure.unit)}"
    if mean.count == 1:
        return f"{average} with the only seed; how much of that is chance takes more seeds."
    low, high = (number_format.value(end, figure.unit) for end in (mean.low, mean.high))
    span = number_format.span(min(values), max(values), figure.unit)
    return f"{average} on average over {mean.count} seeds, 95 % interval {low} to {high} (from {span})."
