"""A study: the same small run for every variant and seed, in many processes, and a summary of their figures.

Each piece is a run of its own in `runs/<experiment>/study/<profile>[+<options>]/<variant>-seed<seed>/`, so a
study that is stopped goes on where it was, and one with more seeds keeps what is there.
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from keraserve_models import atomic
from keraserve_training import number_format, open_run, statistics
from keraserve_training.errors import OlderVersionError, StudyError
from keraserve_training.experiment import Comparison, Experiment, Study
from keraserve_training.experiments import find
from keraserve_training.options import NONE, Options
from keraserve_training.profiles import PROFILES
from keraserve_training.records import description, run_folder
from keraserve_training.run import RunSpec
from keraserve_training.studies import pieces
from keraserve_training.studies.seeds import Tell, counting, gathered
from keraserve_training.workers.work import Work, Workers

SUMMARY, TABLE, PLOT = "study.json", "study.csv", "study.png"
OVERALL = "all together"
_ENOUGH = 5  # seeds: fewer give a figure, and no verdict


def folder(runs: Path, experiment: str, profile: str, options: str = "") -> Path:
    """The folder of a study; `options` is their slug."""
    return runs / experiment / "study" / (f"{profile}+{options}" if options else profile)


def folders(runs: Path, experiment: str, profile: str) -> list[Path]:
    """The folders of all studies of a profile: the one without options first."""
    plain = folder(runs, experiment, profile)
    return [one for one in (plain, *sorted(plain.parent.glob(f"{profile}+*"))) if one.is_dir()]


def do_piece(
    *, runs: Path, experiment: str, profile: str, variant: str, seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Do one piece, or what is left of it, and return its row of the table. Runs in a process of its own.

    Raises:
        TrainingError: as a run does.
    """
    found = find(experiment)
    study = study_of(found)
    spec = RunSpec(PROFILES[profile], seed, Options(**options), study.settings(variant))
    there = folder(runs, experiment, profile, spec.options.slug()) / f"{variant}-seed{seed}"
    do = partial(open_run.execute, found, there, spec)
    compared = {metric for each in study.comparisons for metric in (each.gain, *each.compared)}
    try:
        current = do() or compared <= pieces.row(there, seed).keys()
    except OlderVersionError:
        current = False
    if not current:  # an older version did the piece, or did not measure all that is compared now
        do(force=True)
    for network in there.iterdir():  # a hundred megabytes in all, of no use after the piece
        if network.is_dir():
            shutil.rmtree(network)
    return {"variant": variant, **pieces.row(there, seed)}


def do(
    experiment: Experiment,
    runs: Path,
    *,
    profile: str,
    variants: Sequence[str],
    seeds: int,
    workers: Workers,
    tell: Tell,
    options: Options = NONE,
) -> dict[str, Any]:
    """Do every piece that is not done yet, then write table, summary and plot.

    Args:
        experiment: has a study.
        runs: folder of all runs.
        profile: name of the profile.
        variants: what to vary, as on the command line.
        seeds: every variant gets the seeds 1 to this.
        workers: do the pieces.
        tell: is called after each piece with how many are done, of how many, and which one was the last.
        options: of every piece.

    Returns:
        The summary, as in `study.json`.

    Raises:
        UnknownVariantError: before anything is run.
        OptionError: the experiment does not take one of the options.
        WorkerError: the workers failed.
        StudyError: a variant is named twice, or a larger study is there already; or at least one piece
            failed, and the others are kept.
    """
    study = study_of(experiment)
    meanings = {variant: study.meaning(variant) for variant in variants}
    if len(set(meanings.values())) < len(variants):
        raise StudyError("A variant is named twice: name each once.")
    experiment.check(options, {})
    place = folder(runs, experiment.name, profile, options.slug())
    there = read_summary(place)
    if there and (there["seeds"] > seeds or not set(there["variants"]) <= set(meanings)):
        raise StudyError(
            f"There is a larger study already: {there['seeds']} seeds of {', '.join(there['variants'])}."
            " Ask for at least those; what is finished is not done again."
        )
    given = {"runs": runs.resolve(), "experiment": experiment.name, "profile": profile}
    given |= {"options": options.given()}
    work = [
        Work(f"{each} with seed {seed}", do_piece, {**given, "variant": each, "seed": seed})
        for seed in range(1, seeds + 1)
        for each in meanings
    ]
    rows = gathered(workers.do(work, counting(len(work), tell)))
    rows.sort(key=lambda row: (list(meanings).index(row["variant"]), row["seed"]))
    return _summarise(place, study, profile, meanings, rows, options)


def study_of(experiment: Experiment) -> Study:
    """The study of an experiment.

    Raises:
        StudyError: it has none.
    """
    if experiment.study is None:
        raise StudyError(f"{experiment.name} has no study: its source document asks for none.")
    return experiment.study


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The summary in a study's folder; None: the study is not finished."""
    return run_folder.read_json(folder / SUMMARY) if (folder / SUMMARY).exists() else None


def read(runs: Path, experiment: str) -> tuple[Path, dict[str, Any]] | None:
    """The folder and summary of the best study there is: `full` first, and without options.

    A study of an older version is skipped: what it compared is not what is compared now. The same command
    does it again.
    """
    for profile in PROFILES:
        for there in folders(runs, experiment, profile):
            if (summary := read_summary(there)) and "comparisons" in summary:
                return there, summary
    return None


def heading(summary: dict[str, Any]) -> str:
    """A study's question, and its images and network."""
    return f"{summary['title']} ({summary['what']})" if "what" in summary else summary["title"]


def words(summary: dict[str, Any]) -> list[str]:
    """Sentences about each comparison: over all variants, then for each variant if there are several."""
    return [sentence for compared in summary["comparisons"] for sentence in _sentences(summary, compared)]


def _sentences(summary: dict[str, Any], compared: dict[str, Any]) -> list[str]:
    subject, variants, gain = summary["subject"], summary["variants"], compared["gain"]
    title = f"{compared['title']}: " if compared["title"] else ""
    first, second = (_share(each) for each in compared["compared"])
    verdict = f"{title}{_verdict(gain[OVERALL], subject)}"
    sentences = [
        f"{verdict[0].upper()}{verdict[1:]}. {subject.capitalize()} gave the better network in"
        f" {compared['helped']} of {summary['pieces']} pieces. Test accuracy with {subject}: {first};"
        f" without: {second}."
    ]
    if len(variants) > 1:
        each = (f"{meaning} ({name}) {_figure(gain[name])}" for name, meaning in variants.items())
        sentences.append(f"{title}{'; '.join(each)}.")
    return sentences


def _share(measured: dict[str, Any]) -> str:
    mean, low, high = (measured[name] for name in ("mean", "low", "high"))
    if low is None:
        return number_format.percent(mean)
    span = f"{number_format.percent(low)} to {number_format.percent(high)}"
    return f"{number_format.percent(mean)} on average, 95 % interval {span}"


def _figure(gain: dict[str, Any]) -> str:
    mean, low, high = (gain[name] and 100 * gain[name] for name in ("mean", "low", "high"))
    if low is None:
        return f"{mean:+z.1f} points with the only seed".replace("-", "\u2212")
    return f"{mean:+z.1f} points, 95 % interval {low:+z.1f} to {high:+z.1f}".replace("-", "\u2212")


def _verdict(gain: dict[str, Any], subject: str) -> str:
    figure = _figure(gain)
    if gain["count"] == 1:
        return f"{figure}, which proves nothing"
    figure = figure.replace(" points", " points of test accuracy on average", 1)
    if gain["count"] < _ENOUGH:
        return f"{figure}, with {gain['count']} seeds, too few for a verdict"
    if gain["low"] <= 0 <= gain["high"]:
        return f"no clear effect ({figure})"
    return f"{subject} {'helps' if gain['low'] > 0 else 'does harm'} ({figure})"


def _summarise(
    there: Path,
    study: Study,
    profile: str,
    meanings: dict[str, str],
    rows: list[dict[str, Any]],
    options: Options,
) -> dict[str, Any]:
    summary = _without_nan(
        {
            "title": study.title,
            "explanation": study.explanation,
            "what": description.described({"options": options.given()}),
            "profile": asdict(PROFILES[profile]),
            "variants": meanings,
            "seeds": len({row["seed"] for row in rows}),
            "pieces": len(rows),
            "subject": study.subject,
            "comparisons": [_compared(each, meanings, rows) for each in study.comparisons],
            "seconds": round(sum(row["seconds"] for row in rows), 1),
            "procedural": PROFILES[profile].procedural,
        }
    )
    atomic.write_text(there / TABLE, pieces.table(rows))
    _draw(there / PLOT, study, summary, rows)
    atomic.write_json(there / SUMMARY, summary)
    return summary


def _compared(
    comparison: Comparison, meanings: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The summary of one comparison over all pieces."""
    gains = {
        variant: statistics.mean_interval([row[comparison.gain] for row in rows if row["variant"] == variant])
        for variant in meanings
    }
    gains[OVERALL] = statistics.mean_interval(_by_seed(rows, comparison.gain))
    shares = [statistics.mean_interval(_by_seed(rows, metric)) for metric in comparison.compared]
    return {
        "title": comparison.title,
        "metrics": list(comparison.compared),
        "helped": sum(row[comparison.gain] > 0 for row in rows),
        "compared": [asdict(share.within(0.0, 1.0)) for share in shares],
        "means": {variant: _means(comparison, rows, variant) for variant in meanings},
        "gain": {name: asdict(gain.within(-1.0, 1.0)) for name, gain in gains.items()},
    }


def _by_seed(rows: Sequence[Mapping[str, Any]], metric: str) -> list[float]:
    """The mean of a metric over the variants, for each seed."""
    found: dict[int, list[float]] = {}
    for row in rows:
        found.setdefault(row["seed"], []).append(row[metric])
    return [sum(values) / len(values) for values in found.values()]


def _means(comparison: Comparison, rows: Sequence[Mapping[str, Any]], variant: str) -> dict[str, float]:
    mine = [row for row in rows if row["variant"] == variant]
    return {metric: sum(row[metric] for row in mine) / len(mine) for metric in comparison.compared}


def _draw(file: Path, study: Study, summary: dict[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw the gains of every comparison, for each variant."""
    from keraserve_training.drawing import comparisons

    meanings = summary["variants"]
    groups: dict[str, list[float]] = {}
    ends: dict[str, tuple[float, float, float]] = {}
    for comparison, compared in zip(study.comparisons, summary["comparisons"], strict=True):
        for name, gain in compared["gain"].items():
            if name == OVERALL and len(meanings) == 1:
                continue
            mine = [row for row in rows if row["variant"] == name]
            values = [row[comparison.gain] for row in mine] or _by_seed(rows, comparison.gain)
            title = f"{meanings[name]} ({name})" if name in meanings else OVERALL
            title = f"{comparison.title}:\n{title}" if comparison.title else title
            groups[title] = values
            low, high = (math.nan if gain[end] is None else gain[end] for end in ("low", "high"))
            ends[title] = (gain["mean"], low, high)
    title = study.title + (" (procedural images: means nothing)" if summary["procedural"] else "")
    comparisons.gains(file, title, groups, ends, of=study.subject)


def _without_nan(content: Any) -> Any:
    """Replace NaN, which JSON does not have, by null: the ends of an interval that does not exist."""
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and content != content else content
