"""`keraserve-train`: list, run, train-all, export, report, study.

Nothing here imports TensorFlow before it is certain that something has to be trained or exported.
"""

import contextlib
import errno
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from keraserve_training.errors import TrainingError, UnknownProfileError
from keraserve_training.experiment import Experiment
from keraserve_training.experiments import find, registry
from keraserve_training.profiles import PROFILES, Profile

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
    """Keep the trace of an error that nobody foresaw where it can be written; gives a sentence about it."""
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            log = folder / "keraserve-train-error.log"
            log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
            return f"Something went wrong that should not ({type(error).__name__}). Details are in {log}."
    return f"Something went wrong that should not ({type(error).__name__}: {error})."


def fail(sentence: str, status: int = 1) -> None:
    """Print a sentence on stderr and leave."""
    err.print(sentence, style="red", highlight=False, soft_wrap=True, markup=False)
    sys.exit(status)


@app.command("list")
def list_(runs: Runs = DEFAULT_RUNS, profile: ProfileName = "full", seed: Seed = DEFAULT_SEED) -> None:
    """Show every experiment: its data, what to expect, and how far it has come."""
    from keraserve_training import run_folder

    chosen = _profile(profile).name
    table = Table(title=f"Experiments (profile {chosen}, seed {seed})", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("name", no_wrap=True)
    for head in ("data", "weights", "expected", "time", "state"):
        table.add_column(head, no_wrap=head == "time")
    for experiment in registry().values():
        state = run_folder.state(run_folder.path(runs, experiment.name, chosen, seed))
        table.add_row(
            experiment.name,
            experiment.data,
            experiment.weights,
            _expected(experiment),
            f"{experiment.minutes:g} min",
            state,
        )
    out.print(table)


@app.command()
def run(
    name: str,
    runs: Runs = DEFAULT_RUNS,
    profile: ProfileName = "full",
    seed: Seed = DEFAULT_SEED,
    force: Force = False,
) -> None:
    """Train one experiment, or go on where it was interrupted."""
    _run(find(name), runs, profile, seed, force)


@app.command("train-all")
def train_all(
    runs: Runs = DEFAULT_RUNS,
    profile: ProfileName = "full",
    seed: Seed = DEFAULT_SEED,
    force: Force = False,
) -> None:
    """Train every experiment that is not finished; one that fails does not stop the others."""
    failures: dict[str, str] = {}
    for experiment in registry().values():
        try:
            _run(experiment, runs, profile, seed, force)
        except Exception as error:
            known = isinstance(error, TrainingError | OSError)
            failures[experiment.name] = str(error) if known else _unexpected(error)
            sentence = f"{experiment.name}: {failures[experiment.name]}"
            err.print(sentence, style="red", highlight=False, soft_wrap=True, markup=False)
    if failures:
        fail(f"{len(failures)} of {len(registry())} experiments failed: {', '.join(failures)}.")


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
def study(
    name: str,
    seeds: Annotated[int, typer.Option(min=1, help="Every variant gets the seeds 1 to this.")] = 10,
    pairs: Annotated[
        str | None,
        typer.Option("--pairs", "--variants", help="What is varied, separated by commas: 5-6,2-4."),
    ] = None,
    runs: Runs = DEFAULT_RUNS,
    profile: ProfileName = "full",
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes side by side. [default: one a core]")
    ] = None,
) -> None:
    """Answer an experiment's question with many small runs; goes on where it was interrupted."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from keraserve_training import study as studying

    experiment = find(name)
    variants = pairs.split(",") if pairs else list(studying.study_of(experiment).variants)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
        task = progress.add_task("pieces", total=None)

        def tell(done: int, total: int, last: str) -> None:
            progress.update(task, completed=done, total=total)
            if not out.is_terminal:
                out.print(f"{done}/{total}: {last}", highlight=False)

        summary = studying.do(
            experiment,
            runs,
            profile=_profile(profile).name,
            variants=variants,
            seeds=seeds,
            jobs=jobs or os.cpu_count() or 1,
            tell=tell,
        )
    for sentence in studying.words(summary):
        out.print(sentence, highlight=False)
    there = studying.folder(runs, experiment.name, profile)
    out.print(f"Picture: {there / studying.PICTURE}", highlight=False, soft_wrap=True)


def _run(experiment: Experiment, runs: Path, profile: str, seed: int, force: bool) -> None:
    """Train one experiment with something to look at, then print its figures."""
    from keraserve_training import execution, progress, run_folder

    chosen = _profile(profile)
    folder = run_folder.path(runs, experiment.name, chosen.name, seed)
    out.print(
        f"[bold]{experiment.name}[/], profile {chosen.name}, seed {seed}. {chosen.explanation}",
        highlight=False,
    )
    if out.is_terminal:
        with progress.Bars(out) as bars:
            new = execution.execute(experiment, folder, profile=chosen, seed=seed, show=bars, force=force)
    else:
        lines = progress.Lines(out)
        new = execution.execute(experiment, folder, profile=chosen, seed=seed, show=lines, force=force)
    if not new:
        out.print("Finished before; --force starts anew.", highlight=False)
    content = run_folder.read_json(folder / run_folder.METRICS)
    table = Table(box=None)
    table.add_column("figure")
    table.add_column("this run", justify="right", style="bold")
    table.add_column("range of full runs", justify="right")
    for figure in experiment.figures:
        measured = f"{figure.low:.3f} to {figure.high:.3f}" if figure.runs else "not measured"
        value = content["metrics"].get(figure.metric)
        table.add_row(figure.title, "not measured" if value is None else f"{value:.3f}", measured)
    out.print(table)
    for sentence in experiment.explain(content["metrics"]):
        out.print(sentence, highlight=False)
    out.print(
        f"Training took {content['seconds']:.0f} s. Curves: {folder / run_folder.CURVES}", highlight=False
    )


def _expected(experiment: Experiment) -> str:
    """The first figure, which stands for the experiment; the report has them all."""
    first = experiment.figures[0]
    return f"{first.title}\n{first.low:.3f} to {first.high:.3f}" if first.runs else "not measured"


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
