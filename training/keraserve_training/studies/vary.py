"""One setting of an experiment varied: every value with every seed, and what the differences bear.

Each piece is a run of its own in `runs/<experiment>/vary/<profile>[+<what was changed>]/<setting>/`, so that
no report, export or range of the experiment's own runs includes it.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keraserve_models import atomic
from keraserve_training import number_format, open_run, settings, statistics
from keraserve_training.errors import OptionError, StudyError
from keraserve_training.experiment import Experiment, Figure
from keraserve_training.experiments import find
from keraserve_training.number_format import Unit
from keraserve_training.options import Options
from keraserve_training.profiles import PROFILES
from keraserve_training.records import description, run_folder
from keraserve_training.run import RunSpec
from keraserve_training.studies import pieces
from keraserve_training.studies.seeds import Tell, counting, gathered
from keraserve_training.workers.work import Work, Workers

SUMMARY, TABLE, PLOT = "vary.json", "vary.csv", "vary.png"
_ENOUGH = 5  # seeds: fewer give figures, and no verdict
_COMPARABLE: tuple[Unit, ...] = ("share", "points", "loss")


@dataclass(frozen=True)
class Varied:
    """What is varied.

    Attributes:
        setting: its name.
        values: in JSON's types, in their order.
    """

    setting: str
    values: tuple[Any, ...]

    @classmethod
    def read(cls, experiment: Experiment, word: str, fixed: Mapping[str, Any]) -> "Varied":
        """What `NAME=VALUE,VALUE,…` says.

        Raises:
            OptionError: there is no such setting or value, a value is there twice, or only one.
        """
        name, _, rest = word.partition("=")
        found = experiment.settings.find(experiment.name, name)
        values = [found.read(each) for each in rest.split(",")]
        if len(set(values)) < max(2, len(values)):
            raise OptionError(f"--vary compares values: write several different ones, like {name}=A,B,C.")
        if name in fixed:
            raise OptionError(f"{name} can't be varied and set at once: leave --set {name} out.")
        for value in values:
            experiment.settings.of({**fixed, name: value})
        if not found.choices and found.kind in (int, float):
            values.sort()
        return cls(name, tuple(list(each) if isinstance(each, tuple) else each for each in values))


def do_piece(
    *,
    experiment: str,
    profile: str,
    seed: int,
    options: Mapping[str, Any],
    given: Mapping[str, Any],
    place: Path,
) -> dict[str, Any]:
    """Do one piece, or what is left of it; returns its row of the table. Runs in a process of its own."""
    open_run.execute(find(experiment), place, RunSpec(PROFILES[profile], seed, Options(**options), given))
    for network in place.iterdir():  # of no use after the piece
        if network.is_dir():
            shutil.rmtree(network)
    return pieces.row(place, seed)


def do(
    experiment: Experiment,
    runs: Path,
    varied: Varied,
    *,
    figure: str | None,
    spec: RunSpec,
    seeds: int,
    workers: Workers,
    tell: Tell,
) -> tuple[Path, dict[str, Any]]:
    """Do every piece that is not done yet, then write table, summary and plot.

    Args:
        experiment: whose setting is varied.
        runs: folder of all runs.
        varied: which setting, and its values.
        figure: the metric that is compared; None: the experiment's first figure.
        spec: profile, options and the other settings of every piece.
        seeds: every value gets the seeds 1 to this.
        workers: do the pieces.
        tell: as for `study.do`.

    Returns:
        The study's folder, and its summary as in `vary.json`.

    Raises:
        OptionError: the experiment does not take an option or setting, or has no such figure.
        StudyError: a larger study is there already, or a piece failed; the others are kept.
    """
    compared = _figure(experiment, figure)
    experiment.check(spec.options, {**spec.settings, varied.setting: varied.values[0]})
    name = spec.profile.name + (f"+{spec.slug}" if spec.slug else "")
    place = runs / experiment.name / "vary" / name / varied.setting
    there = run_folder.read_json(place / SUMMARY) if (place / SUMMARY).exists() else None
    if there and (there["seeds"] > seeds or any(each not in varied.values for each in there["values"])):
        values = ",".join(map(settings.written, there["values"]))
        raise StudyError(
            f"There is a larger study already: {there['seeds']} seeds of {varied.setting}={values}. Ask for"
            " at least those; what is finished is not done again."
        )
    common = {"experiment": experiment.name, "profile": spec.profile.name, "options": spec.options.given()}
    work: list[Work] = []
    for seed in range(1, seeds + 1):
        for value in varied.values:
            own = {varied.setting: value}
            given = {**spec.settings, **experiment.settings.changed(own, spec.profile.epochs)}
            folder = place.resolve() / f"{settings.slug(own)}-seed{seed}"
            words = f"{varied.setting}={settings.written(value)} with seed {seed}"
            work.append(Work(words, do_piece, {**common, "seed": seed, "given": given, "place": folder}))
    found = gathered(workers.do(work, counting(len(work), tell)))
    rows = [
        {varied.setting: settings.written(value), **found[seed * len(varied.values) + number]}
        for number, value in enumerate(varied.values)
        for seed in range(seeds)
    ]
    return place, _summarise(place, experiment, varied, compared, spec, rows)


def _figure(experiment: Experiment, metric: str | None) -> Figure:
    known = {each.metric: each for each in experiment.figures if each.unit in _COMPARABLE}
    if metric is None:
        return next(iter(known.values()))
    if metric not in known:
        raise OptionError(f"{experiment.name} has no figure {metric!r} to compare: take {', '.join(known)}.")
    return known[metric]


def _summarise(
    place: Path,
    experiment: Experiment,
    varied: Varied,
    figure: Figure,
    spec: RunSpec,
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    measured = {
        settings.written(value): [
            row[figure.metric] for row in rows if row[varied.setting] == settings.written(value)
        ]
        for value in varied.values
    }
    config = {"options": spec.options.given(), "settings": spec.settings}
    summary = {
        "setting": varied.setting,
        "about": experiment.settings.declared()[varied.setting].about,
        "default": settings.written(experiment.settings.declared()[varied.setting].default),
        "values": list(varied.values),
        "figure": asdict(figure),
        "what": description.described(config),
        "profile": asdict(spec.profile),
        "procedural": spec.profile.procedural,
        "seeds": len(rows) // len(varied.values),
        "measured": measured,
        "seconds": round(sum(row["seconds"] for row in rows), 1),
    }
    atomic.write_text(place / TABLE, pieces.table(rows))
    _draw(place / PLOT, summary)
    atomic.write_json(place / SUMMARY, summary)
    return summary


def _draw(file: Path, summary: Mapping[str, Any]) -> None:
    from keraserve_training.drawing import sweeps

    figure = Figure(**summary["figure"])
    intervals = {
        name: statistics.mean_interval(values).within(*figure.limits)
        for name, values in summary["measured"].items()
    }
    numbers = [each for each in summary["values"] if isinstance(each, int | float)]
    caveat = " (procedural images: means nothing)" if summary["procedural"] else ""
    sweeps.by_value(
        file,
        f"{figure.title}, by {summary['setting']}{caveat}",
        summary["measured"],
        {name: (each.mean, each.low, each.high) for name, each in intervals.items()},
        numbers=numbers if len(numbers) == len(summary["values"]) else None,
        setting=summary["setting"],
        unit=figure.unit,
    )


def read(runs: Path, experiment: str) -> list[tuple[Path, dict[str, Any]]]:
    """Folder and summary of every finished study of the largest profile that has one."""
    for profile in PROFILES:
        files = sorted((runs / experiment / "vary").glob(f"{profile}*/*/{SUMMARY}"))
        found = [(file.parent, run_folder.read_json(file)) for file in files]
        if found:
            return found
    return []


def words(summary: Mapping[str, Any]) -> list[str]:
    """The mean of each value, and what can be said of the differences between them."""
    figure, measured = Figure(**summary["figure"]), summary["measured"]
    return [f"{_means(summary, figure)}.", _verdict(summary["setting"], figure, measured)]


def _means(summary: Mapping[str, Any], figure: Figure) -> str:
    each: list[str] = []
    for name, values in summary["measured"].items():
        mean = statistics.mean_interval(values).within(*figure.limits)
        text = f"{name} {number_format.value(mean.mean, figure.unit)}"
        if mean.count > 1:
            low, high = (number_format.value(end, figure.unit) for end in (mean.low, mean.high))
            text += f" (95 % interval {low} to {high})"
        each.append(text + (", the experiment's own" if name == summary["default"] else ""))
    seeds = "with the only seed" if summary["seeds"] == 1 else f"on average over {summary['seeds']} seeds"
    return f"{figure.title} by {summary['setting']}, {seeds}: {'; '.join(each)}"


def _verdict(setting: str, figure: Figure, measured: Mapping[str, Sequence[float]]) -> str:
    """One sentence, which claims a difference only where an interval over seeds bears it.

    Values are compared seed by seed. As the best one is chosen among all by the same figures, the intervals
    hold for all pairs at once (Bonferroni): each has a level of 1 - 0.05 / pairs.
    """
    means = {name: statistics.mean_interval(values).mean for name, values in measured.items()}
    best = (min if figure.unit == "loss" else max)(means, key=means.__getitem__)
    seeds = len(measured[best])
    if seeds < _ENOUGH:
        return f"{seeds} {'seed is' if seeds == 1 else 'seeds are'} too few to say which value is better."
    pairs = len(measured) * (len(measured) - 1) // 2
    apart: list[str] = []
    for name, values in measured.items():
        difference = [mine - other for mine, other in zip(measured[best], values, strict=True)]
        found = statistics.mean_interval(difference, 1 - 0.05 / pairs)
        if name != best and (found.low > 0 or found.high < 0):
            apart.append(name)
    word = "lowest" if figure.unit == "loss" else "highest"
    rest = [name for name in measured if name != best and name not in apart]
    if not apart:
        said = f"can't be told from that of any other value with {seeds} seeds"
    elif rest:
        said = (
            f"differs from that of {_listed(apart)} by more than chance, and not from that of {_listed(rest)}"
        )
    else:
        said = "differs from that of every other value by more than chance"
    names = list(measured)
    edge = (
        " It is at the edge of what was tried: the best value may lie beyond."
        if best in (names[0], names[-1]) and all(_is_number(name) for name in names) and apart
        else ""
    )
    return (
        f"The {word} mean, of {setting}={best}, {said} (compared seed by seed, all pairs at once, 95 %)."
        f"{edge}"
    )


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
