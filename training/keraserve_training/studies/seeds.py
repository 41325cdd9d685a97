"""The same experiment with several seeds: is what one run shows more than luck?

Each seed is an ordinary run in an ordinary run folder, so the report, the export and `expected_ranges.json`
know it too, and one that exists is not done again.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keraserve_training import number_format, statistics
from keraserve_training.errors import StudyError
from keraserve_training.experiment import Experiment, Figure
from keraserve_training.options import Options
from keraserve_training.profiles import Profile
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
    """Do the runs with the seeds 1 to `seeds` that are not finished.

    Args:
        experiment: which.
        runs: folder of all runs.
        profile: of all of them.
        seeds: how many.
        options: of all of them.
        workers: who does them.
        tell: is told how many are done, of how many, and which one was the last.

    Returns:
        For each seed, in order: `seed`, the run's figures, `seconds`.

    Raises:
        OptionError: the experiment does not take one of the options.
        WorkerError: the workers failed.
        StudyError: at least one run failed; the others are kept.
    """
    options.check(experiment.name, experiment.takes)
    work = [
        pieces.work(f"seed {seed}", experiment, runs, profile, seed, options) for seed in range(1, seeds + 1)
    ]
    return gathered(workers.do(work, counting(len(work), tell)))


def counting(total: int, tell: Tell) -> Callable[[Done], None]:
    """Tell how many pieces are done so far, of how many, and which one was the last."""
    names: list[str] = []

    def told(done: Done) -> None:
        names.append(done.name)
        tell(len(names), total, done.name)

    return told


def gathered(done: Sequence[Done]) -> list[Any]:
    """What all pieces gave, in order.

    Raises:
        StudyError: one failed or more; says which and why.
    """
    failed = pieces.failures(done)
    if failed:
        reasons = " ".join(f"{name}: {reason}" for name, reason in sorted(failed.items()))
        raise StudyError(f"{len(failed)} of {len(done)} pieces failed. {reasons}")
    return [each.result for each in done]


def words(experiment: Experiment, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say what the seeds gave, a sentence for each figure that all of them have."""
    return [
        _sentence(figure, [row[figure.metric] for row in rows])
        for figure in experiment.figures
        if all(figure.metric in row for row in rows)
    ]


def _sentence(figure: Figure, values: Sequence[float]) -> str:
    mean = statistics.mean_interval(values).within(*figure.limits)
    said = f"{figure.title}: {number_format.value(mean.mean, figure.unit)}"
    if mean.count == 1:
        return f"{said} with the only seed; how much of that is luck takes more seeds."
    low, high = (number_format.value(end, figure.unit) for end in (mean.low, mean.high))
    span = number_format.span(min(values), max(values), figure.unit)
    return f"{said} on average over {mean.count} seeds, 95 % interval {low} to {high} (from {span})."
