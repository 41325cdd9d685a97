"""A study: the same small run for every variant and seed, in several processes, and what they say together.

Each piece is a run of its own in `runs/<experiment>/study/<profile>/<variant>-seed<seed>/`, so a study that
is stopped goes on where it was, and one with more seeds keeps what is there.
"""

import contextlib
import csv
import io
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keraserve_training import atomic, intervals, run_folder, runtime
from keraserve_training.errors import StudyError
from keraserve_training.experiment import Experiment, Study
from keraserve_training.experiments import find
from keraserve_training.profiles import PROFILES
from keraserve_training.progress import Silent

SUMMARY, TABLE, PICTURE = "study.json", "study.csv", "study.png"
OVERALL = "all together"
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Piece:
    """One run of a study."""

    experiment: str
    profile: str
    variant: str
    seed: int

    def folder(self, runs: Path) -> Path:
        """Where it keeps its files."""
        return folder(runs, self.experiment, self.profile) / f"{self.variant}-seed{self.seed}"


def folder(runs: Path, experiment: str, profile: str) -> Path:
    """Where a study keeps its files."""
    return runs / experiment / "study" / profile


def do_piece(runs: Path, piece: Piece) -> dict[str, Any]:
    """Do one piece, or what is left of it; gives its row of the table. Runs in a process of its own.

    Raises:
        TrainingError: as a run does.
    """
    from keraserve_training import execution

    experiment = find(piece.experiment)
    study = study_of(experiment)
    there = piece.folder(runs)
    execution.execute(
        experiment,
        there,
        profile=PROFILES[piece.profile],
        seed=piece.seed,
        show=Silent(),
        settings=study.settings(piece.variant),
    )
    for network in there.iterdir():  # a hundred megabytes in all that nobody would look at
        if network.is_dir():
            shutil.rmtree(network)
    content = run_folder.read_json(there / run_folder.METRICS)
    return {"variant": piece.variant, "seed": piece.seed, **content["metrics"], "seconds": content["seconds"]}


def do(
    experiment: Experiment,
    runs: Path,
    *,
    profile: str,
    variants: Sequence[str],
    seeds: int,
    jobs: int,
    tell: Tell,
) -> dict[str, Any]:
    """Do every piece that is not done yet, then write table, summary and picture.

    Args:
        experiment: has a study.
        runs: folder of all runs.
        profile: name of the profile.
        variants: what to vary, as on the command line.
        seeds: every variant gets the seeds 1 to this.
        jobs: processes side by side, each with one thread.
        tell: is told how many pieces are done, of how many, and which one was the last.

    Returns:
        The summary, as in `study.json`.

    Raises:
        UnknownVariantError: before anything is run.
        StudyError: a variant is named twice, or a larger study is there already; or at least one piece
            failed, and the others are kept.
    """
    study = study_of(experiment)
    meanings = {variant: study.meaning(variant) for variant in variants}
    twice = len(set(meanings.values())) < len(variants)
    if twice:
        raise StudyError("A variant is named twice: name each once.")
    there = read_summary(folder(runs, experiment.name, profile))
    if there and (there["seeds"] > seeds or not set(there["variants"]) <= set(meanings)):
        raise StudyError(
            f"There is a larger study already: {there['seeds']} seeds of {', '.join(there['variants'])}."
            " Ask for at least those; what is finished is not done again."
        )
    numbers = range(1, seeds + 1)
    pieces = [Piece(experiment.name, profile, variant, seed) for seed in numbers for variant in meanings]
    rows = _do_all(runs, pieces, jobs, tell)
    rows.sort(key=lambda row: (list(meanings).index(row["variant"]), row["seed"]))
    return _summarise(folder(runs, experiment.name, profile), study, profile, meanings, rows)


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
    """The folder and summary of the best study there is: of the profile `full` before the others."""
    for profile in PROFILES:
        there = folder(runs, experiment, profile)
        if summary := read_summary(there):
            return there, summary
    return None


def words(summary: dict[str, Any]) -> list[str]:
    """Say what a study shows, one sentence for each variant and one for all together."""
    sentences = [
        f"{meaning.capitalize()} ({variant}): {_verdict(summary['gain'][variant])}."
        for variant, meaning in summary["variants"].items()
    ]
    overall = _verdict(summary["gain"][OVERALL])
    return [
        f"All together: {overall}. Reuse gave the better network in {summary['helped']} of"
        f" {summary['pieces']} pieces.",
        *sentences,
    ]


def _verdict(gain: dict[str, Any]) -> str:
    mean, low, high = (gain[name] and 100 * gain[name] for name in ("mean", "low", "high"))
    if low is None:
        return f"{mean:+.1f} points with the only seed, which proves nothing"
    measured = f"{mean:+.1f} points of test accuracy on average, 95 % interval {low:+.1f} to {high:+.1f}"
    measured = measured.replace("-", "\u2212")
    if low <= 0 <= high:
        return f"no clear effect ({measured})"
    return f"reuse {'helps' if low > 0 else 'does harm'} ({measured})"


def _do_all(runs: Path, pieces: Sequence[Piece], jobs: int, tell: Tell) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    failures: list[str] = []
    with _workers(jobs) as pool:
        futures = {pool.submit(do_piece, runs, piece): piece for piece in pieces}
        waiting: set[Future[dict[str, Any]]] = set(futures)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                piece = futures[future]
                try:
                    rows.append(future.result())
                except BrokenProcessPool:
                    raise StudyError("A process was killed; run the same command to go on.") from None
                except Exception as error:  # one piece's trouble, whatever it is, does not stop the others
                    failures.append(f"{piece.variant} with seed {piece.seed}: {error}")
                tell(len(rows) + len(failures), len(pieces), f"{piece.variant} with seed {piece.seed}")
    if failures:
        raise StudyError(f"{len(failures)} of {len(pieces)} pieces failed. {' '.join(sorted(failures))}")
    return rows


@contextlib.contextmanager
def _workers(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that start afresh (a fork would get half of TensorFlow's threads); killed on an error."""
    pool = ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=runtime.one_thread
    )
    try:
        yield pool
    except BaseException:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()  # every piece can be killed at any moment and goes on from there
        raise
    pool.shutdown()


def _summarise(
    there: Path, study: Study, profile: str, meanings: dict[str, str], rows: list[dict[str, Any]]
) -> dict[str, Any]:
    from keraserve_training import plots

    gains = {variant: [row[study.gain] for row in rows if row["variant"] == variant] for variant in meanings}
    by_seed = [sum(values) / len(values) for values in zip(*gains.values(), strict=True)]
    everything = {**gains, OVERALL: by_seed}
    measured = {name: intervals.mean_interval(values) for name, values in everything.items()}
    summary = {
        "title": study.title,
        "explanation": study.explanation,
        "profile": asdict(PROFILES[profile]),
        "variants": meanings,
        "seeds": len(by_seed),
        "pieces": len(rows),
        "helped": sum(row[study.gain] > 0 for row in rows),
        "means": {name: _means(study, rows, name) for name in meanings},
        "gain": {name: asdict(interval) for name, interval in measured.items()},
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "procedural": PROFILES[profile].procedural,
    }
    _write_table(there / TABLE, rows)
    names = {name: f"{meaning} ({name})" for name, meaning in meanings.items()} | {OVERALL: OVERALL}
    title = study.title + (" (procedural pictures: means nothing)" if summary["procedural"] else "")
    ends = {names[name]: (each.mean, each.low, each.high) for name, each in measured.items()}
    plots.gains(there / PICTURE, title, {names[name]: values for name, values in everything.items()}, ends)
    atomic.write_text(there / SUMMARY, json.dumps(_without_nan(summary), indent=2, ensure_ascii=False) + "\n")
    return summary


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
