"""What the commands `run`, `train-all` and `study` do: choose the workers, train, print the figures."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from keraserve_training import number_format
from keraserve_training.console import complain, kept, out, unexpected
from keraserve_training.errors import TrainingError
from keraserve_training.experiment import Experiment
from keraserve_training.experiments import find
from keraserve_training.options import Options, flag
from keraserve_training.profiles import Profile
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings

if TYPE_CHECKING:
    from keraserve_training.workers.work import Workers


def workers_for(ray: str | None, runs: Path, jobs: int, cpus: int | None, gpus: int) -> "Workers":
    """Whoever does pieces: the machines of a Ray cluster, or processes here."""
    from keraserve_training.workers.local import Processes

    if ray is None:
        return Processes(jobs)
    from keraserve_training.workers import ray_cluster

    def notice(sentence: str) -> None:
        out.print(sentence, highlight=False, markup=False, soft_wrap=True)

    return ray_cluster.RayCluster(ray, runs, cpus or ray_cluster.processors(ray), gpus, notice)


def run_all(
    chosen: Sequence[Experiment], runs: Path, profile: Profile, seed: int, options: Options, force: bool
) -> dict[str, str]:
    """Train experiments one after the other; gives why each failed that did."""
    failures: dict[str, str] = {}
    for experiment in chosen:
        try:
            run_one(experiment, runs, profile, seed, options.restricted(experiment.takes), force)
        except Exception as error:
            known = isinstance(error, TrainingError | OSError)
            failures[experiment.name] = str(error) if known else unexpected(error)
            complain(f"{experiment.name}: {failures[experiment.name]}")
    return failures


def run_all_on(
    workers: "Workers",
    chosen: Sequence[Experiment],
    runs: Path,
    profile: Profile,
    seed: int,
    options: Options,
    force: bool,
) -> dict[str, str]:
    """Let others train experiments, telling of each that is over; gives why each failed that did."""
    from keraserve_training.studies import pieces
    from keraserve_training.workers.work import Done

    taken = {each.name: options.restricted(each.takes) for each in chosen}
    if force:
        for each in chosen:
            pieces.begin_anew(each, runs, profile, seed, taken[each.name])
    failures: dict[str, str] = {}

    def tell(done: Done) -> None:
        if done.error is None:
            figure = find(done.name).figures[0]
            said = number_format.value(done.result[figure.metric], figure.unit)
            out.print(f"{done.name}: finished. {figure.title}: {said}", highlight=False, markup=False)
            return
        failures[done.name] = kept(done.error, done.trace) if done.trace else done.error
        complain(f"{done.name}: {failures[done.name]}")

    work = [pieces.work(each.name, each, runs, profile, seed, taken[each.name]) for each in chosen]
    workers.do(work, tell)
    return failures


def run_one(
    experiment: Experiment,
    runs: Path,
    profile: Profile,
    seed: int,
    options: Options,
    force: bool,
    workers: "Workers | None" = None,
) -> None:
    """Train one experiment with something to look at, then print its figures."""
    from keraserve_training import listing, open_run, progress
    from keraserve_training.records import run_folder

    folder = run_folder.path(runs, experiment.name, profile.name, seed, options.slug())
    given = "".join(
        f", {flag(name)}" + ("" if value is True else f" {value}") for name, value in options.given().items()
    )
    heading = f"[bold]{experiment.name}[/], profile {profile.name}, seed {seed}{escape(given)}."
    out.print(f"{heading} {escape(profile.explanation)}", markup=True)
    showing = progress.Bars(out) if out.is_terminal else nullcontext(progress.Lines(out))
    with showing as show:
        new = open_run.execute(
            experiment,
            folder,
            profile=profile,
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
    for name, network in finished.networks.items():
        for warning in [] if network.get("composed_of") else evidence.warnings(network):
            out.print(f"{name}: {warning}", style="yellow", highlight=False, markup=False)
    for sentence in experiment.explain(Findings(finished, runs)):
        out.print(sentence, highlight=False, markup=False)
    seconds = number_format.duration(finished.metrics["seconds"])
    out.print(
        f"Training took {seconds}. Curves: {folder / run_folder.CURVES}", highlight=False, soft_wrap=True
    )
