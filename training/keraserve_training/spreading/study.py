"""A study: the same small run for every variant and seed, in many processes, and what they say together.

Each piece is a run of its own in `runs/<experiment>/study/<profile>[+<options>]/<variant>-seed<seed>/`, so a
study that is stopped goes on where it was, and one with more seeds keeps what is there.
"""

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keraserve_training import atomic, execution, run_folder
from keraserve_training.errors import StudyError
from keraserve_training.experiment import Experiment, Study
from keraserve_training.experiments import find
from keraserve_training.options import NONE, Options
from keraserve_training.profiles import PROFILES
from keraserve_training.progress import Silent
from keraserve_training.reporting import describing, wording
from keraserve_training.spreading import intervals, pieces
from keraserve_training.spreading.seeds import Tell, counting, gathered
from keraserve_training.spreading.spread import Work, Workers

SUMMARY, TABLE, PICTURE = "study.json", "study.csv", "study.png"
OVERALL = "all together"


@dataclass(frozen=True)
class Piece:
    """One run of a study."""

    experiment: str
    profile: str
    variant: str
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def folder(self, runs: Path) -> Path:
        """Where it keeps its files."""
        slug = Options(**self.options).slug()
        return folder(runs, self.experiment, self.profile, slug) / f"{self.variant}-seed{self.seed}"

    def work(self, runs: Path) -> Work:
        """As a piece of work for any process."""
        name = f"{self.variant} with seed {self.seed}"
        return Work(name, do_piece, {"runs": runs.resolve(), **asdict(self)})


def folder(runs: Path, experiment: str, profile: str, options: str = "") -> Path:
    """Where a study keeps its files; `options` is their slug."""
    return runs / experiment / "study" / (f"{profile}+{options}" if options else profile)


def folders(runs: Path, experiment: str, profile: str) -> list[Path]:
    """All that are there of a profile: without options first."""
    plain = folder(runs, experiment, profile)
    return [one for one in (plain, *sorted(plain.parent.glob(f"{profile}+*"))) if one.is_dir()]


def do_piece(
    *,
    runs: Path,
    experiment: str,
    profile: str,
    variant: str,
    seed: int,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Do one piece, or what is left of it; gives its row of the table. Runs in a process of its own.

    Raises:
        TrainingError: as a run does.
    """
    there = Piece(experiment, profile, variant, seed, options).folder(runs)
    execution.execute(
        find(experiment),
        there,
        profile=PROFILES[profile],
        seed=seed,
        show=Silent(),
        options=Options(**options),
        settings=study_of(find(experiment)).settings(variant),
    )
    for network in there.iterdir():  # a hundred megabytes in all that nobody would look at
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
    """Do every piece that is not done yet, then write table, summary and picture.

    Args:
        experiment: has a study.
        runs: folder of all runs.
        profile: name of the profile.
        variants: what to vary, as on the command line.
        seeds: every variant gets the seeds 1 to this.
        workers: who does the pieces.
        tell: is told how many pieces are done, of how many, and which one was the last.
        options: of every piece.

    Returns:
        The summary, as in `study.json`.

    Raises:
        UnknownVariantError: before anything is run.
        OptionError: the experiment does not take one of the options.
        SpreadError: the workers failed.
        StudyError: a variant is named twice, or a larger study is there already; or at least one piece
            failed, and the others are kept.
    """
    study = study_of(experiment)
    meanings = {variant: study.meaning(variant) for variant in variants}
    twice = len(set(meanings.values())) < len(variants)
    if twice:
        raise StudyError("A variant is named twice: name each once.")
    options.check(experiment.name, experiment.takes)
    place = folder(runs, experiment.name, profile, options.slug())
    there = read_summary(place)
    if there and (there["seeds"] > seeds or not set(there["variants"]) <= set(meanings)):
        raise StudyError(
            f"There is a larger study already: {there['seeds']} seeds of {', '.join(there['variants'])}."
            " Ask for at least those; what is finished is not done again."
        )
    work = [
        Piece(experiment.name, profile, variant, seed, options.given()).work(runs)
        for seed in range(1, seeds + 1)
        for variant in meanings
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
    """The summary in a study's folder, if it has come so far."""
    return run_folder.read_json(folder / SUMMARY) if (folder / SUMMARY).exists() else None


def read(runs: Path, experiment: str) -> tuple[Path, dict[str, Any]] | None:
    """The folder and summary of the best study there is: `full` first, and without options."""
    for profile in PROFILES:
        for there in folders(runs, experiment, profile):
            if summary := read_summary(there):
                return there, summary
    return None


def heading(summary: dict[str, Any]) -> str:
    """Say what a study asks, and of which pictures and network."""
    return f"{summary['title']} ({summary['what']})" if "what" in summary else summary["title"]


def words(summary: dict[str, Any]) -> list[str]:
    """Say what a study shows: for all together, then for each variant where there are several."""
    subject = summary.get("subject", "reuse")
    overall = _verdict(summary["gain"][OVERALL], subject)
    said = [
        f"All together: {overall}. {subject.capitalize()} gave the better network in {summary['helped']} of"
        f" {summary['pieces']} pieces.",
    ]
    if compared := summary.get("compared"):
        first, second = (_share(each) for each in compared)
        said.append(f"Test accuracy with {subject}: {first}; without: {second}.")
    if len(summary["variants"]) > 1:
        said += [
            f"{meaning.capitalize()} ({variant}): {_verdict(summary['gain'][variant], subject)}."
            for variant, meaning in summary["variants"].items()
        ]
    return said


def _share(measured: dict[str, Any]) -> str:
    mean, low, high = (measured[name] for name in ("mean", "low", "high"))
    if low is None:
        return wording.percent(mean)
    span = f"{wording.percent(low)} to {wording.percent(high)}"
    return f"{wording.percent(mean)} on average, 95 % interval {span}"


def _verdict(gain: dict[str, Any], subject: str) -> str:
    mean, low, high = (gain[name] and 100 * gain[name] for name in ("mean", "low", "high"))
    if low is None:
        return f"{mean:+.1f} points with the only seed, which proves nothing".replace("-", "\u2212")
    measured = f"{mean:+.1f} points of test accuracy on average, 95 % interval {low:+.1f} to {high:+.1f}"
    measured = measured.replace("-", "\u2212")
    if low <= 0 <= high:
        return f"no clear effect ({measured})"
    return f"{subject} {'helps' if low > 0 else 'does harm'} ({measured})"


def _summarise(
    there: Path,
    study: Study,
    profile: str,
    meanings: dict[str, str],
    rows: list[dict[str, Any]],
    options: Options,
) -> dict[str, Any]:
    from keraserve_training.drawing import comparisons

    gains = {variant: [row[study.gain] for row in rows if row["variant"] == variant] for variant in meanings}
    by_seed = [sum(values) / len(values) for values in zip(*gains.values(), strict=True)]
    everything = {**gains, OVERALL: by_seed}
    measured = {name: intervals.mean_interval(values) for name, values in everything.items()}
    summary = {
        "title": study.title,
        "explanation": study.explanation,
        "what": describing.described({"options": options.given()}),
        "profile": asdict(PROFILES[profile]),
        "variants": meanings,
        "seeds": len(by_seed),
        "pieces": len(rows),
        "helped": sum(row[study.gain] > 0 for row in rows),
        "subject": study.subject,
        "compared": [_over_seeds(rows, metric) for metric in study.compared],
        "means": {name: _means(study, rows, name) for name in meanings},
        "gain": {name: asdict(interval) for name, interval in measured.items()},
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "procedural": PROFILES[profile].procedural,
    }
    summary = _without_nan(summary)
    _write_table(there / TABLE, rows)
    names = {name: f"{meaning} ({name})" for name, meaning in meanings.items()} | {OVERALL: OVERALL}
    title = study.title + (" (procedural pictures: means nothing)" if summary["procedural"] else "")
    drawn = everything if len(meanings) > 1 else gains
    ends = {names[name]: (measured[name].mean, measured[name].low, measured[name].high) for name in drawn}
    groups = {names[name]: values for name, values in drawn.items()}
    comparisons.gains(there / PICTURE, title, groups, ends, of=study.subject)
    atomic.write_json(there / SUMMARY, summary)
    return summary


def _over_seeds(rows: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    """Mean and interval of a metric over the seeds, each of which counts with the mean of its variants."""
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], []).append(row[metric])
    return asdict(intervals.mean_interval([sum(values) / len(values) for values in by_seed.values()]))


def _means(study: Study, rows: list[dict[str, Any]], variant: str) -> dict[str, float]:
    mine = [row for row in rows if row["variant"] == variant]
    return {metric: sum(row[metric] for row in mine) / len(mine) for metric in study.compared}


def _write_table(file: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic.write_text(file, text.getvalue())


def _without_nan(content: Any) -> Any:
    """JSON has no NaN: an interval that does not exist is null."""
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    return None if isinstance(content, float) and content != content else content
