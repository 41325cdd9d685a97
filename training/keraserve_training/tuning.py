"""Commands of `keraserve-train` to try settings: settings, study, find-rate."""

import os
from typing import Annotated

import typer

from keraserve_training import commands, listing
from keraserve_training.console import counted, out, say
from keraserve_training.errors import OptionError, UnknownVariantError
from keraserve_training.experiments import find
from keraserve_training.flags import (
    DEFAULT_RUNS,
    DEFAULT_SEED,
    Gpus,
    ProfileName,
    Ray,
    Runs,
    Seed,
    Set,
    profile_of,
    with_run_options,
)
from keraserve_training.options import Options
from keraserve_training.run import RunSpec
from keraserve_training.studies import seeds as seeding
from keraserve_training.studies import study as studying
from keraserve_training.studies import vary as varying
from keraserve_training.studies.vary import Varied

app = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="NAME", help="An experiment, as `list` shows it.")]


@app.command()
def settings(name: Name) -> None:
    """Show what `run NAME --set` can change: each setting with its values and the document's own."""
    found = find(name)
    if found.settings.declared():
        out.print(listing.settings(found))
    else:
        say(f"{name} has no settings.")


@app.command()
@with_run_options
def study(
    name: Name,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Runs of each, with the seeds 1 to this. [default: 10, or 5 with --vary]"),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option("--pairs", "--variants", help="What is varied, separated by commas: 5-6,2-4."),
    ] = None,
    vary: Annotated[
        str | None,
        typer.Option(metavar="NAME=A,B,…", help="Compare values of a setting: learning_rate=1e-4,1e-3."),
    ] = None,
    figure: Annotated[
        str | None, typer.Option(help="With --vary: what is compared. [default: the first figure]")
    ] = None,
    set_: Set = None,
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
    """Compare the variants of an experiment in many small runs; continues where it was interrupted.

    With --vary it compares the values of one setting. An experiment without variants is run with several
    seeds, to show how much they differ.
    """
    experiment, chosen = find(name), profile_of(profile)
    given = experiment.settings.read(name, set_ or (), chosen.epochs)
    if (given or figure) and not vary:
        raise OptionError("A study takes --set and --figure with --vary only.")
    if pairs and (vary or not experiment.study):
        raise UnknownVariantError(f"{name} has no variants to study here: leave --variants out.")
    varied = Varied.read(experiment, vary, given) if vary else None
    workers = commands.workers_for(ray, runs, jobs or os.cpu_count() or 1, cpus, gpus)
    with counted() as tell:
        if varied:
            spec, many = RunSpec(chosen, 0, options, given), seeds or 5
            there, summary = varying.do(
                experiment, runs, varied, figure=figure, spec=spec, seeds=many, workers=workers, tell=tell
            )
            sentences = [*varying.words(summary), f"Plot: {there / varying.PLOT}"]
        elif experiment.study:
            summary = studying.do(
                experiment,
                runs,
                profile=chosen.name,
                variants=pairs.split(",") if pairs else experiment.study.variants,
                seeds=seeds or 10,
                workers=workers,
                tell=tell,
                options=options,
            )
            there = studying.folder(runs, name, chosen.name, options.slug())
            sentences = [*studying.words(summary), f"Plot: {there / studying.PLOT}"]
        else:
            rows = seeding.do(
                experiment,
                runs,
                profile=chosen,
                seeds=seeds or 10,
                options=options,
                workers=workers,
                tell=tell,
            )
            sentences = seeding.words(experiment, rows)
    for sentence in sentences:
        say(sentence)


@app.command("find-rate")
@with_run_options
def find_rate(
    name: Name,
    rate: Annotated[
        str | None,
        typer.Option("--phase", metavar="RATE", help="The phase with this rate. [default: the first]"),
    ] = None,
    set_: Set = None,
    runs: Runs = DEFAULT_RUNS,
    profile: ProfileName = "full",
    seed: Seed = DEFAULT_SEED,
    *,
    options: Options,
) -> None:
    """Find a learning rate: train some steps, each at a higher rate, and watch where the loss falls.

    Nothing is kept of the training but the curve; phases before are trained first, or taken from a finished
    run.
    """
    experiment, chosen = find(name), profile_of(profile)
    given = experiment.settings.read(name, set_ or (), chosen.epochs)
    commands.find_rate(experiment, runs, RunSpec(chosen, seed, options, given), rate)
