"""The tables that the command line prints: all experiments, and the figures of a run."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from keraserve_training import expected_ranges, number_format
from keraserve_training.experiment import Experiment, Figure
from keraserve_training.experiments import registry
from keraserve_training.options import flag
from keraserve_training.records import run_folder
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.reporting import gathering, sources
from keraserve_training.settings import written


def table(runs: Path, profile: str, seed: int) -> Table:
    """Every experiment: its data and weights, what full runs gave, and how far it has come."""
    content = Table(
        title=f"Experiments (profile {profile}, seed {seed})", title_justify="left", box=SIMPLE_HEAD
    )
    content.add_column("experiment")
    content.add_column("parameters", justify="right", no_wrap=True)
    content.add_column("full run", justify="right", no_wrap=True)
    content.add_column("state")
    for experiment in registry().values():
        folder = run_folder.path(runs, experiment.name, profile, seed)
        others = len(list(folder.parent.glob(f"{folder.name}+*/{run_folder.METRICS}")))
        state = run_folder.state(folder) + (f"; {others} changed" if others else "")
        first = experiment.figures[0]
        found = expected_ranges.of(experiment.name, first.metric)
        span = number_format.span(found.low, found.high, first.unit) if found else ""
        about = f"{experiment.data}; weights: {experiment.weights}" + f"\n{first.title}: {span}" * bool(found)
        content.add_row(
            Text.assemble(f"{experiment.name}\n", (about, "dim")),
            number_format.value(experiment.parameters, "count"),
            f"{experiment.minutes:g} min" if experiment.minutes else "",
            state,
        )
    return content


def settings(experiment: Experiment) -> Table:
    """What a user may change of an experiment: each setting with its default and its values."""
    content = Table(title=f"Settings of {experiment.name}", title_justify="left", box=SIMPLE_HEAD)
    content.add_column("setting", no_wrap=True)
    content.add_column("default", no_wrap=True)
    content.add_column("what it is; its values")
    for each in experiment.settings.declared().values():
        if not each.of_study:
            needed = f"; with {flag(each.option)}" if each.option else ""
            words = Text.assemble(f"{each.about}\n", (f"{each.allowed}{needed}", "dim"))
            content.add_row(each.name, written(each.default), words)
    return content


def figures(experiment: Experiment, run: FinishedRun) -> Table:
    """The figures of a run, beside those of full runs on the public data."""
    content = Table(box=None)
    content.add_column("figure")
    content.add_column("this run", justify="right", style="bold")
    documented = not sources.of(experiment.source).own
    for title in ("source document", "full runs") if documented else ():
        content.add_column(title)
    key = expected_ranges.key(experiment.name, gathering.key(run))
    for figure in experiment.figures:
        value = run.metrics["metrics"].get(figure.metric)
        ours = "not measured" if value is None else number_format.value(value, figure.unit)
        beside = (figure.source, _expected(key, figure)) if documented else ()
        content.add_row(figure.title, ours, *beside)
    return content


def _expected(key: str, figure: Figure) -> str:
    found = expected_ranges.of(key, figure.metric)
    return number_format.span(found.low, found.high, figure.unit) if found else "not measured"
