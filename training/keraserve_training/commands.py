"""What the commands do: choose the workers, train, export, print what was measured."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from keraserve_training import number_format, settings
from keraserve_training.console import complain, kept, out, say, unexpected
from keraserve_training.errors import TrainingError
from keraserve_training.experiment import Experiment
from keraserve_training.experiments import find
from keraserve_training.options import Options, flag
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings
from keraserve_training.run import RunSpec

if TYPE_CHECKING:
    from keraserve_training.workers.work import Workers


def workers_for(ray: str | None, runs: Path, jobs: int, cpus: int | None, gpus: int) -> "Workers":
    """The workers for pieces of work: the machines of a Ray cluster, or processes of this machine."""
    from keraserve_training.workers.local import Processes

    if ray is None:
        return Processes(jobs)
    from keraserve_training.workers import ray_cluster

    return ray_cluster.RayCluster(ray, runs, cpus or ray_cluster.processors(ray), gpus, say)


def run_all(chosen: Sequence[Experiment], runs: Path, spec: RunSpec, force: bool) -> dict[str, str]:
    """Train experiments one after the other; returns for each that failed the reason."""
    failures: dict[str, str] = {}
    for experiment in chosen:
        try:
            run_one(experiment, runs, _restricted(spec, experiment), force)
        except Exception as error:
            known = isinstance(error, TrainingError | OSError)
            failures[experiment.name] = str(error) if known else unexpected(error)
            complain(f"{experiment.name}: {failures[experiment.name]}")
    return failures


def run_all_on(
    workers: "Workers", chosen: Sequence[Experiment], runs: Path, spec: RunSpec, force: bool
) -> dict[str, str]:
    """Let workers train experiments, and print each result; returns for each that failed the reason."""
    from keraserve_training.studies import pieces
    from keraserve_training.workers.work import Done

    specs = [(each, _restricted(spec, each)) for each in chosen]
    if force:
        for each, own in specs:
            pieces.begin_anew(each, runs, own)
    failures: dict[str, str] = {}

    def tell(done: Done) -> None:
        if done.error is None:
            figure = find(done.name).figures[0]
            value = number_format.value(done.result[figure.metric], figure.unit)
            out.print(f"{done.name}: finished. {figure.title}: {value}")
            return
        failures[done.name] = kept(done.error, done.trace) if done.trace else done.error
        complain(f"{done.name}: {failures[done.name]}")

    workers.do([pieces.work(each.name, each, runs, own) for each, own in specs], tell)
    return failures


def _restricted(spec: RunSpec, experiment: Experiment) -> RunSpec:
    return replace(spec, options=spec.options.restricted(experiment.takes))


def run_one(
    experiment: Experiment, runs: Path, spec: RunSpec, force: bool, workers: "Workers | None" = None
) -> None:
    """Train one experiment with a progress display, then print its figures."""
    from keraserve_training import listing, open_run, progress
    from keraserve_training.records import run_folder

    folder = spec.folder(runs, experiment.name)
    given = "".join(
        f", {flag(name)}" + ("" if value is True else f" {value}")
        for name, value in spec.options.given().items()
    ) + "".join(f", --set {each}" for each in settings.words(spec.settings))
    heading = f"[bold]{experiment.name}[/], profile {spec.profile.name}, seed {spec.seed}{escape(given)}."
    out.print(f"{heading} {escape(spec.profile.explanation)}", markup=True)
    showing = progress.Bars(out) if out.is_terminal else nullcontext(progress.Lines(out))
    with showing as show:
        new = open_run.execute(experiment, folder, spec, show, force=force, workers=workers)
    if not new:
        out.print("Finished before; --force starts anew.")
    finished = run_folder.finished_in(folder)
    out.print(listing.figures(experiment, finished))
    for name, network in finished.trained.items():
        for warning in evidence.warnings(network):
            out.print(f"{name}: {warning}", style="yellow")
    for sentence in experiment.explain(Findings(finished, runs)):
        out.print(sentence)
    seconds = number_format.duration(finished.metrics["seconds"])
    say(f"Training took {seconds}. Curves: {folder / run_folder.CURVES}")


def export(
    experiments: Sequence[Experiment],
    *,
    runs: Path,
    models: Path,
    profile: str,
    seed: int | None,
    options: Options,
    given: Mapping[str, Any] = MappingProxyType({}),
    served_from: str | None = None,
    force: bool = False,
    outdated: bool = False,
) -> None:
    """Export what finished runs trained, and print each version; for arguments and errors see `export`."""
    from keraserve_training.exporting import export as exporting

    def tell(done: exporting.Exported) -> None:
        verb = "exported as" if done.new else "already exported as"
        say(f"{done.name}: {verb} version {done.version}")
        for warning in done.warnings:
            say(f"{done.name}: {warning}", style="yellow")

    _, notices = exporting.export(
        experiments,
        runs=runs,
        models=models,
        profile=profile,
        seed=seed,
        served_from=served_from,
        force=force,
        outdated=outdated,
        options=options,
        given=given,
        tell=tell,
    )
    for notice in notices:
        say(notice, style="yellow")


def check(folder: Path, how: str | None, size: int, json: Path | None, html: Path | None) -> bool:
    """Check a folder of images, print what was found, and return whether something is serious.

    Args:
        folder: the images.
        how: how it is read, one of `layout.LAYOUTS`, or None.
        size: pixels a side of what the network will get.
        json: a file for programs, or None.
        html: a page with the images, or None.
    """
    from keraserve_training import progress, runtime
    from keraserve_training.checking import check as checking
    from keraserve_training.checking import page, printed

    runtime.prepare()
    with progress.Bars(out) if out.is_terminal else nullcontext(progress.Lines(out)) as show:
        checked = checking.check(folder.expanduser().resolve(), how, size, show)
    printed.show(checked, out)
    if json:
        printed.write(checked, json)
    if html:
        page.write(checked, html)
        say(f"Page: {html}")
    return checked.serious


def find_rate(experiment: Experiment, runs: Path, spec: RunSpec, rate: str | None) -> None:
    """Test learning rates, draw the curve, and print the advice with the command that uses it."""
    from keraserve_training import progress
    from keraserve_training.drawing import sweeps
    from keraserve_training.studies import find_rate as finding

    with progress.Bars(out) if out.is_terminal else nullcontext(progress.Lines(out)) as show:
        found = finding.find(experiment, runs, spec, rate, show)
    test = found.test
    marks = {"advice": test.advice, "lowest loss": test.lowest, "steepest descent": test.steepest}
    own = spec.folder(runs, experiment.name)  # its name says what was changed
    file = own.parent / f"find-rate-{own.name}-{found.network}-{found.setting}.png"
    title = f"{found.network}, {found.phase}: which learning rate for {found.optimizer}?"
    sweeps.rate_test(
        file,
        title,
        test.rates,
        test.losses,
        test.smoothed,
        {name: rate for name, rate in marks.items() if rate},
    )
    for sentence in finding.words(experiment, spec, found):
        say(sentence)
    say(f"Curve: {file}")
