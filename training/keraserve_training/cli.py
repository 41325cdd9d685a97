"""`keraserve-train`: list, run, train-all, export, report, study.

Nothing here imports TensorFlow before it is certain that something has to be trained or exported.
"""

import contextlib
import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from keraserve_training import wording
from keraserve_training.errors import TrainingError, UnknownProfileError, UnknownVariantError
from keraserve_training.experiment import Experiment
from keraserve_training.experiments import find, matching, registry
from keraserve_training.findings import Findings
from keraserve_training.flags import with_options, with_options_and_name
from keraserve_training.options import Options, flag
from keraserve_training.profiles import PROFILES, Profile

if TYPE_CHECKING:
    from keraserve_training.spread import Workers

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train the experiments of the source documents and export them as models that take pictures.",
)
out = Console()
err = Console(stderr=True)

Runs = Annotated[Path, typer.Option(help="Folder of all runs.")]
Models = Annotated[Path, typer.Option(help="The model repository.")]
ProfileName = Annotated[str, typer.Option("--profile", help=f"One of {', '.join(PROFILES)}.")]
Seed = Annotated[int, typer.Option(min=0, help="Weights and order of the pictures follow from it.")]
Force = Annotated[bool, typer.Option("--force", help="Start anew: throw away what is there.")]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Spread the work over the machines of a Ray cluster: auto or HOST:6379 on one of them,"
        " ray://HOST:10001 from elsewhere. All have to share the folder --runs.",
    ),
]
Cpus = Annotated[
    int | None,
    typer.Option(min=1, help="With --ray: processors of each piece. [default: as many as there are here]"),
]
Gpus = Annotated[int, typer.Option("--gpus", min=0, help="With --ray: GPUs of each piece.")]
_INTERRUPTED = 130
DEFAULT_RUNS, DEFAULT_MODELS, DEFAULT_SEED = Path("runs"), Path("models"), 42


def main() -> None:
    """Entry point: every expected failure is one sentence on stderr and a status that is not 0."""
    try:
        status = app(standalone_mode=False)
        if status == _INTERRUPTED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(status or 0)
    except (KeyboardInterrupt, typer.Abort):
        fail("Stopped. Run the same command again to go on where it was.", _INTERRUPTED)
    except TrainingError as error:
        fail(str(error))
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        fail(f"{error.strerror or error}{where}. {_what_to_do(error)}")
    except Exception as error:  # a mistake of ours or of a library: kept whole for a report, but not shown
        if hasattr(error, "format_message"):
            fail(f"{error.format_message().rstrip('.')}. See keraserve-train --help.", 2)  # pyright: ignore
        fail(_unexpected(error))


def _unexpected(error: Exception) -> str:
    """A sentence about an error that nobody foresaw; where in the code it was is kept in a file."""
    return _kept(type(error).__name__, "".join(traceback.format_exception(error)))


def _kept(what: str, trace: str) -> str:
    """Keep the trace of an error that nobody foresaw where it can be written; gives a sentence about it."""
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            log = folder / "keraserve-train-error.log"
            log.write_text(trace, encoding="utf-8")
            return f"Something went wrong that should not ({what}). Details are in {log}."
    return f"Something went wrong that should not ({what})."


def fail(sentence: str, status: int = 1) -> None:
    """Print a sentence on stderr and leave."""
    complain(sentence)
    sys.exit(status)


def complain(sentence: str) -> None:
    """Print a sentence on stderr."""
    err.print(sentence, style="red", highlight=False, soft_wrap=True, markup=False)


@app.command("list")
def list_(runs: Runs = DEFAULT_RUNS, profile: ProfileName = "full", seed: Seed = DEFAULT_SEED) -> None:
    """Show every experiment: its data and weights, what to expect, and how far it has come."""
    from keraserve_training import listing

    out.print(listing.table(runs, _profile(profile).name, seed))


@app.command()
@with_options_and_name
def run(
    experiment: Annotated[str, typer.Argument(help="As `list` shows it.")],
    runs: Runs = DEFAULT_RUNS,
    profile: ProfileName = "full",
    seed: Seed = DEFAULT_SEED,
    force: Force = False,
    ray: Ray = None,
    cpus: Cpus = None,
    gpus: Gpus = 0,
    *,
    options: Options,
) -> None:
    """Train one experiment, or go on where it was interrupted.

    With --ray, a frozen network looks at the pictures on all machines; what learns from that learns here.
    """
    workers = _workers(ray, runs, 1, cpus, gpus) if ray else None
    _run(find(experiment), runs, profile, seed, options, force, workers)


@app.command("train-all")
@with_options
def train_all(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXPERIMENT]...", help="Only these; cifar100-* is a pattern. All if left out."
        ),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    profile: ProfileName = "full",
    seed: Seed = DEFAULT_SEED,
    force: Force = False,
    ray: Ray = None,
    cpus: Cpus = None,
    gpus: Gpus = 0,
    *,
    options: Options,
) -> None:
    """Train every experiment that is not finished; one that fails does not stop the others.

    An experiment is given those of the options that it takes.
    """
    chosen = matching(names or ["*"])
    if ray is None:
        failures = _train_here(chosen, runs, profile, seed, options, force)
    else:
        workers = _workers(ray, runs, 1, cpus, gpus)
        failures = _train_elsewhere(workers, chosen, runs, _profile(profile), seed, options, force)
    if failures:
        complain(f"{len(failures)} of {len(chosen)} experiments failed:")
        for name, reason in failures.items():
            complain(f"- {name}: {reason}")
        fail("What is finished stays; the same command goes on with the others.")


@app.command()
def export(
    name: Annotated[str | None, typer.Argument(help="An experiment; all where none is given.")] = None,
    runs: Runs = DEFAULT_RUNS,
    models: Models = DEFAULT_MODELS,
    profile: ProfileName = "full",
    seed: Annotated[int | None, typer.Option(help="Only the run with this seed.")] = None,
    served_from: Annotated[
        str | None,
        typer.Option(
            help="The repository's folder as the server sees it, for models.config. [default: /models]"
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also what is exported already.")] = False,
) -> None:
    """Write a new version of every servable of every finished run."""
    from keraserve_training import export as exporting

    def tell(done: exporting.Exported) -> None:
        verb = "exported as" if done.new else "already exported as"
        out.print(f"{done.name}: {verb} version {done.version}", highlight=False)

    experiments = [find(name)] if name else list(registry().values())
    _, notices = exporting.export(
        experiments,
        runs=runs,
        models=models,
        profile=_profile(profile).name,
        seed=seed,
        served_from=served_from,
        force=force,
        tell=tell,
    )
    for notice in notices:
        out.print(notice, style="yellow", highlight=False)


@app.command()
def report(runs: Runs = DEFAULT_RUNS) -> None:
    """Write one HTML page about all runs."""
    from keraserve_training import report as reporting

    page = reporting.write(registry().values(), runs)
    out.print(f"Report: {page}", highlight=False, soft_wrap=True, markup=False)


@app.command()
def results(
    runs: Runs = DEFAULT_RUNS,
    docs: Annotated[Path, typer.Option(help="Gets results.md and its pictures.")] = Path("docs"),
) -> None:
    """Write what the full runs gave as a document, and the ranges that `list` shows from then on."""
    from importlib import resources

    from keraserve_training import measured, measuring
    from keraserve_training import results as writing

    with resources.as_file(resources.files("keraserve_training") / measured.FILE) as ranges:
        measuring.write(registry().values(), runs, ranges)
    page = writing.write(registry().values(), runs, docs)
    out.print(f"Results: {page}", highlight=False, soft_wrap=True, markup=False)


@app.command()
@with_options
def study(
    name: str,
    seeds: Annotated[int, typer.Option(min=1, help="The seeds 1 to this, of every variant.")] = 10,
    pairs: Annotated[
        str | None,
        typer.Option("--pairs", "--variants", help="What is varied, separated by commas: 5-6,2-4."),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    profile: ProfileName = "full",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes side by side. [default: one a core]")
    ] = None,
    ray: Ray = None,
    cpus: Annotated[int, typer.Option(min=1, help="With --ray: processors of each piece.")] = 1,
    gpus: Gpus = 0,
    *,
    options: Options,
) -> None:
    """Answer an experiment's question with many small runs; goes on where it was interrupted.

    Where its source document asks none: run it with several seeds, and say how much they differ.
    """
    experiment, chosen = find(name), _profile(profile)
    workers = _workers(ray, runs, jobs or os.cpu_count() or 1, cpus, gpus)
    with _counted() as tell:
        if experiment.study:
            from keraserve_training import study as studying

            summary = studying.do(
                experiment,
                runs,
                profile=chosen.name,
                variants=pairs.split(",") if pairs else experiment.study.variants,
                seeds=seeds,
                workers=workers,
                tell=tell,
                options=options,
            )
            there = studying.folder(runs, experiment.name, chosen.name, options.slug())
            said = [*studying.words(summary), f"Picture: {there / studying.PICTURE}"]
        else:
            from keraserve_training import seeds as seeding

            if pairs:
                raise UnknownVariantError(
                    f"{name} has no variants to study, only seeds: leave --variants out."
                )
            rows = seeding.do(
                experiment, runs, profile=chosen, seeds=seeds, options=options, workers=workers, tell=tell
            )
            said = seeding.words(experiment, rows)
    for sentence in said:
        out.print(sentence, highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def _counted() -> Iterator[Callable[[int, int, str], None]]:
    """A bar that counts pieces on a terminal, elsewhere a line for each."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
        task = progress.add_task("pieces", total=None)

        def tell(done: int, total: int, last: str) -> None:
            progress.update(task, completed=done, total=total)
            if not out.is_terminal:
                out.print(f"{done}/{total}: {last}", highlight=False)

        yield tell


def _workers(ray: str | None, runs: Path, jobs: int, cpus: int | None, gpus: int) -> "Workers":
    """Whoever does pieces: the machines of a Ray cluster, or processes here."""
    from keraserve_training.spread import Processes

    if ray is None:
        return Processes(jobs)
    from keraserve_training import ray_cluster

    def notice(sentence: str) -> None:
        out.print(sentence, highlight=False, markup=False, soft_wrap=True)

    return ray_cluster.RayCluster(ray, runs, cpus or ray_cluster.processors(ray), gpus, notice)


def _train_here(
    chosen: Sequence[Experiment], runs: Path, profile: str, seed: int, options: Options, force: bool
) -> dict[str, str]:
    """Train experiments one after the other; gives why each failed that did."""
    failures: dict[str, str] = {}
    for experiment in chosen:
        try:
            _run(experiment, runs, profile, seed, options.restricted(experiment.takes), force)
        except Exception as error:
            known = isinstance(error, TrainingError | OSError)
            failures[experiment.name] = str(error) if known else _unexpected(error)
            complain(f"{experiment.name}: {failures[experiment.name]}")
    return failures


def _train_elsewhere(
    workers: "Workers",
    chosen: Sequence[Experiment],
    runs: Path,
    profile: Profile,
    seed: int,
    options: Options,
    force: bool,
) -> dict[str, str]:
    """Let others train experiments, telling of each that is over; gives why each failed that did."""
    from keraserve_training import pieces
    from keraserve_training.spread import Done

    taken = {each.name: options.restricted(each.takes) for each in chosen}
    if force:
        for each in chosen:
            pieces.begin_anew(each, runs, profile, seed, taken[each.name])
    failures: dict[str, str] = {}

    def tell(done: Done) -> None:
        if done.error is None:
            figure = find(done.name).figures[0]
            said = wording.value(done.result[figure.metric], figure.unit)
            out.print(f"{done.name}: finished. {figure.title}: {said}", highlight=False, markup=False)
            return
        failures[done.name] = _kept(done.error, done.trace) if done.trace else done.error
        complain(f"{done.name}: {failures[done.name]}")

    work = [pieces.work(each.name, each, runs, profile, seed, taken[each.name]) for each in chosen]
    workers.do(work, tell)
    return failures


def _run(
    experiment: Experiment,
    runs: Path,
    profile: str,
    seed: int,
    options: Options,
    force: bool,
    workers: "Workers | None" = None,
) -> None:
    """Train one experiment with something to look at, then print its figures."""
    from keraserve_training import execution, listing, progress, run_folder

    chosen = _profile(profile)
    folder = run_folder.path(runs, experiment.name, chosen.name, seed, options.slug())
    given = "".join(
        f", {flag(name)}" + ("" if value is True else f" {value}") for name, value in options.given().items()
    )
    heading = f"[bold]{experiment.name}[/], profile {chosen.name}, seed {seed}{escape(given)}."
    out.print(f"{heading} {chosen.explanation}", highlight=False)
    showing = progress.Bars(out) if out.is_terminal else nullcontext(progress.Lines(out))
    with showing as show:
        new = execution.execute(
            experiment,
            folder,
            profile=chosen,
            seed=seed,
            show=show,
            options=options,
            force=force,
            workers=workers,
        )
    if not new:
        out.print("Finished before; --force starts anew.", highlight=False)
    finished = run_folder.finished_in(folder)
    out.print(listing.figures(experiment, finished))
    for sentence in experiment.explain(Findings(finished, runs)):
        out.print(sentence, highlight=False, markup=False)
    seconds = wording.duration(finished.metrics["seconds"])
    out.print(
        f"Training took {seconds}. Curves: {folder / run_folder.CURVES}", highlight=False, soft_wrap=True
    )


def _profile(name: str) -> Profile:
    if name not in PROFILES:
        raise UnknownProfileError(f"There is no profile {name!r}: take one of {', '.join(PROFILES)}.")
    return PROFILES[name]


def _what_to_do(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Make room and run the same command again: it goes on where it was."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Choose a folder that you may write with --runs or --models."
    return "Run the same command again to go on."


if __name__ == "__main__":
    main()
