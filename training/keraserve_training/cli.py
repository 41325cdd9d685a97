"""`keraserve-train`: list, run, train-all, export, check, canary, promote, rollback, report, results.

And the commands of `tuning`. TensorFlow is imported only when something has to be trained or exported.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from keraserve_models.commands.import_options import name_of
from keraserve_models.errors import ModelsError
from keraserve_training import commands, tuning
from keraserve_training.console import complain, fail, out, printable, say, unexpected, what_to_do
from keraserve_training.errors import OptionError, TrainingError
from keraserve_training.experiments import EXPERIMENTS, OWN_IMAGES, find, matching, registry
from keraserve_training.flags import (
    DEFAULT_MODELS,
    DEFAULT_RUNS,
    DEFAULT_SEED,
    Cpus,
    Force,
    Gpus,
    Models,
    ProfileName,
    Ray,
    Runs,
    Seed,
    Set,
    profile_of,
    with_own_options,
    with_run_options,
    with_run_options_and_name,
)
from keraserve_training.options import Options
from keraserve_training.run import RunSpec

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Train the experiments of the source documents and export them as models that take images.",
)
app.add_typer(tuning.app)

_INTERRUPTED = 130


def main(args: Sequence[str] | None = None, prog_name: str | None = None) -> None:
    """Entry point: every expected failure is one sentence on stderr and a status that is not 0."""
    printable()
    try:
        command = typer.main.get_command(app)
        if prog_name is not None:  # the program around it has the completion
            command.params = [each for each in command.params if "completion" not in str(each.name)]
        status = command(args, prog_name=prog_name, standalone_mode=False)
        if status == _INTERRUPTED:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(status or 0)
    except (KeyboardInterrupt, typer.Abort):
        fail("Stopped. Run the same command again to go on where it was.", _INTERRUPTED)
    except (TrainingError, ModelsError) as error:
        fail(str(error))
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        fail(f"{error.strerror or error}{where}. {what_to_do(error)}")
    except Exception as error:  # a bug of ours or of a library: its trace goes to a file, not to the terminal
        if hasattr(error, "format_message"):
            fail(f"{error.format_message().rstrip('.')}. See {prog_name or 'keraserve-train'} --help.", 2)  # pyright: ignore
        fail(unexpected(error))


class _Train(typer.Typer):
    def __call__(self, args: Sequence[str], prog_name: str) -> None:
        main(args[1:], f"{prog_name} {args[0]}")


train = _Train()
"""The program as a command of another one, which can complete it: `keraserve train …`."""
train.add_typer(app, name="train")


class _Alone(typer.Typer):
    def __call__(self, args: Sequence[str], prog_name: str) -> None:
        main(args, prog_name)


check = _Alone()
"""One command of the program as one of another program: `keraserve check …`."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"keraserve-train {version('keraserve-training')}")
        raise typer.Exit


@app.callback()
def _program(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


@app.command("list")
def list_(runs: Runs = DEFAULT_RUNS, profile: ProfileName = "full", seed: Seed = DEFAULT_SEED) -> None:
    """Show every experiment: its data and weights, what full runs gave, and its progress."""
    from keraserve_training import listing

    out.print(listing.table(runs, profile_of(profile).name, seed))


@app.command()
@with_run_options_and_name
def run(
    experiment: Annotated[str, typer.Argument(help="As `list` shows it.")],
    runs: Runs = DEFAULT_RUNS,
    profile: ProfileName = "full",
    seed: Seed = DEFAULT_SEED,
    force: Force = False,
    ray: Ray = None,
    cpus: Cpus = None,
    gpus: Gpus = 0,
    set_: Set = None,
    *,
    options: Options,
) -> None:
    """Train one experiment, or continue where it was interrupted.

    With --ray, all machines compute the features of a frozen network; training on them happens here.
    """
    found, chosen = find(experiment), profile_of(profile)
    given = found.settings.read(experiment, set_ or (), chosen.epochs)
    workers = commands.workers_for(ray, runs, 1, cpus, gpus) if ray else None
    commands.run_one(found, runs, RunSpec(chosen, seed, options, given), force, workers)


@app.command("train-all")
@with_run_options
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

    Each experiment gets those of the options that it takes.
    """
    chosen = matching(names) if names else list(EXPERIMENTS)
    spec = RunSpec(profile_of(profile), seed, options)
    if ray is None:
        failures = commands.run_all(chosen, runs, spec, force)
    else:
        workers = commands.workers_for(ray, runs, 1, cpus, gpus)
        failures = commands.run_all_on(workers, chosen, runs, spec, force)
    if failures:
        complain(f"{len(failures)} of {len(chosen)} experiments failed:")
        for name, reason in failures.items():
            complain(f"- {name}: {reason}")
        fail("What is finished stays; the same command goes on with the others.")


@app.command()
@with_run_options_and_name
def export(
    experiment: Annotated[
        str | None, typer.Argument(metavar="NAME", help="An experiment; all if left out.")
    ] = None,
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
    force: Annotated[bool, typer.Option("--force", help="Export again what is exported already.")] = False,
    outdated: Annotated[
        bool,
        typer.Option("--outdated", help="Also runs whose images have changed since they were trained."),
    ] = False,
    set_: Set = None,
    *,
    options: Options,
) -> None:
    """Write a new version of every model of every finished run; with options, of the runs that have them."""
    if set_ and experiment is None:
        raise OptionError("--set is a setting of one experiment: name it.")
    chosen = profile_of(profile)
    commands.export(
        [find(experiment)] if experiment else list(registry().values()),
        runs=runs,
        models=models,
        profile=chosen.name,
        seed=seed,
        served_from=served_from,
        force=force,
        outdated=outdated,
        options=options,
        given=find(experiment).settings.read(experiment, set_ or (), chosen.epochs) if experiment else {},
    )


@app.command()
@with_own_options
def own(
    folder: Annotated[
        Path, typer.Argument(help="A folder with a folder of images for each class.", show_default=False)
    ],
    runs: Runs = DEFAULT_RUNS,
    models: Models = DEFAULT_MODELS,
    profile: ProfileName = "full",
    seed: Seed = DEFAULT_SEED,
    force: Force = False,
    set_: Set = None,
    *,
    options: dict[str, Any],
) -> None:
    """Make a model of your own images: train, export the better of two, write the report."""
    own = {"name": options["name"] or name_of(folder), "backbone": options["backbone"] or "mobilenet"}
    of = profile_of(profile)
    given = OWN_IMAGES.settings.read(OWN_IMAGES.name, set_ or (), of.epochs)
    chosen = Options(data=str(folder.resolve()), **{**options, **own})
    commands.run_one(OWN_IMAGES, runs, RunSpec(of, seed, chosen, given), force)
    where: dict[str, Any] = {"runs": runs, "models": models, "profile": profile, "seed": seed}
    commands.export([OWN_IMAGES], **where, options=chosen, given=given)
    report(runs)
    say(f"next: keraserve serve {models}")


@check.callback()
def _checking() -> None: ...


@check.command("check")
@app.command("check")
def check_(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder with a folder for each class, or train/ and test/ of those."
        ),
    ],
    layout: Annotated[
        str | None, typer.Option(help="How it is read, as for `run`: classes, parts or merged.")
    ] = None,
    image_size: Annotated[int, typer.Option(min=16, help="Pixels a side that the network will get.")] = 224,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write what was found, for programs.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a page that shows the images.")
    ] = None,
) -> None:
    """Look for faults in a folder of images before training: copies, unreadable, blurred, dark images…

    The status is 1 if something spoils training or its figures.
    """
    if commands.check(folder, layout, image_size, json, html):
        raise typer.Exit(1)


Model = Annotated[str, typer.Argument(help="A model of the repository.")]


@app.command()
def canary(
    name: Model,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Of the requests without version or label.")
    ] = 0.1,
    version: Annotated[
        int | None, typer.Option(min=0, help="[default: the present canary, or the newest]")
    ] = None,
    off: Annotated[
        bool, typer.Option("--off", help="End the canary: the newest version serves all.")
    ] = False,
    models: Models = DEFAULT_MODELS,
) -> None:
    """Let a new version serve a share of a model's requests, beside the version labelled stable."""
    from keraserve_models.repository import release

    say(release.end(models, name) if off else release.canary(models, name, share, version))


@app.command()
def promote(name: Model, models: Models = DEFAULT_MODELS) -> None:
    """Make the canary's version the stable one, which serves all requests."""
    from keraserve_models.repository import release

    say(release.promote(models, name))


@app.command()
def rollback(name: Model, models: Models = DEFAULT_MODELS) -> None:
    """End the canary; without one, undo the last promote."""
    from keraserve_models.repository import release

    say(release.rollback(models, name))


@app.command()
def report(runs: Runs = DEFAULT_RUNS) -> None:
    """Write one HTML page about all runs."""
    from keraserve_training.reporting import gathering
    from keraserve_training.reporting import report as reporting

    gathering.check(runs, registry())
    say(f"Report: {reporting.write(registry().values(), runs)}")


@app.command()
def results(
    runs: Runs = DEFAULT_RUNS,
    docs: Annotated[Path, typer.Option(help="The folder for results.md and its images.")] = Path("docs"),
    note: Annotated[str, typer.Option(help="A sentence for readers, such as one about the data.")] = "",
) -> None:
    """Write the results of the full runs as a document, and the ranges that `list` shows from then on."""
    from importlib import resources

    from keraserve_training import expected_ranges
    from keraserve_training.reporting import gathering, ranges
    from keraserve_training.reporting import results as writing

    for trouble in gathering.check(runs, registry()):
        complain(f"Left out: {trouble}")
    with resources.as_file(resources.files("keraserve_training") / expected_ranges.FILE) as file:
        ranges.write(EXPERIMENTS, runs, file)
    say(f"Results: {writing.write(EXPERIMENTS, runs, docs, note)}")


if __name__ == "__main__":
    main()
