"""The tables that the command line prints: of classes, models and versions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keraserve_client._types import Failure, Model, ModelStatus, Prediction, State, VersionStatus

_BAR = 20  # columns
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LOOK: dict[str, Any] = {"box": None, "pad_edge": False, "header_style": "bold"}
_COLOURS = {
    State.AVAILABLE: "green",
    State.LOADING: "yellow",
    State.START: "yellow",
    State.UNLOADING: "yellow",
}


def print_predictions(
    outcomes: Sequence[tuple[Path, Prediction | Failure]], seconds: float, console: Console
) -> None:
    """Print the classes of every file, best first, and below them the time and the warnings."""
    table = Table(**_LOOK)
    table.add_column("file", overflow="fold", max_width=40)
    table.add_column("class", overflow="fold")
    table.add_column("probability", no_wrap=True)
    for number, (path, outcome) in enumerate(outcomes):
        if number:
            table.add_row()
        if isinstance(outcome, Failure):
            table.add_row(Text(str(path)), Text("-", style="dim"), "")
            continue
        for place, entry in enumerate(outcome.classes):
            style = "bold" if place == 0 else ""
            name = Text(str(path)) if place == 0 else ""
            table.add_row(name, Text(entry.label, style=style), _bar(entry.probability, console))
    console.print(table)
    console.print(Text(_summary([outcome for _, outcome in outcomes], seconds), style="dim"))
    found = [outcome for _, outcome in outcomes if isinstance(outcome, Prediction)]
    print_warnings({(each.model, each.version): each.warnings for each in found}, console)


def print_warnings(warnings: Mapping[tuple[str, int], Sequence[str]], console: Console) -> None:
    """Print the warnings of each model and version, one a line."""
    for (model, version), sentences in warnings.items():
        for sentence in sentences:
            line = Text.assemble(("warning: ", "bold yellow"), f"{model} version {version}: {sentence}")
            console.print(line, soft_wrap=True)


def _summary(outcomes: Sequence[Prediction | Failure], seconds: float) -> str:
    classified = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
    count = f"{len(classified):,} image{'' if len(classified) == 1 else 's'}"
    if len(classified) < len(outcomes):
        count += f" of {len(outcomes):,}"
    took = f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
    versions = sorted({(outcome.model, outcome.version) for outcome in classified})
    return ", ".join([f"{count} in {took}", *(f"{model} version {version}" for model, version in versions)])


def _bar(probability: float, console: Console) -> Text:
    percent = f"{probability:6.1%} "
    if console.encoding.lower().startswith("utf"):
        whole, eighths = divmod(round(min(max(probability, 0.0), 1.0) * _BAR * 8), 8)
        bar = "█" * whole + (_EIGHTHS[eighths] if eighths else "")
    else:
        bar = "#" * round(probability * _BAR)
    return Text.assemble(percent, (bar, "cyan"))


def print_models(models: Sequence[Model], console: Console) -> None:
    """Print every model with its versions and labels."""
    table = _table("model", "version", "state", "labels", "error")
    for model in models:
        for place, version in enumerate(model.versions or (None,)):
            name = Text(model.name if place == 0 else "")
            if version is None:
                table.add_row(name, "", Text("no version", style="dim"), "", "")
                continue
            labels = ", ".join(sorted(key for key, value in model.labels.items() if value == version.version))
            table.add_row(name, str(version.version), _state(version), labels, Text(version.error))
    console.print(table)
    _print_version_warnings(models, console)


def print_status(status: ModelStatus, console: Console) -> None:
    """Print the versions of a model."""
    table = _table("version", "state", "error")
    for version in status.versions:
        table.add_row(str(version.version), _state(version), Text(version.error))
    console.print(table)
    _print_version_warnings([status], console)


def _table(*titles: str) -> Table:
    table = Table(**_LOOK)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def _print_version_warnings(models: Sequence[ModelStatus], console: Console) -> None:
    print_warnings(
        {(model.name, each.version): each.warnings for model in models for each in model.versions}, console
    )


def _state(version: VersionStatus) -> Text:
    return Text(version.state.value, style=_COLOURS.get(version.state, "red"))
