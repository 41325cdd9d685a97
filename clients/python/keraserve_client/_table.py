"""What the command line prints: tables of classes, models and versions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from keraserve_client._types import Model, ModelStatus, Prediction, State, VersionStatus

_BAR = 20  # columns
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_COLOURS = {
    State.AVAILABLE: "green",
    State.LOADING: "yellow",
    State.START: "yellow",
    State.UNLOADING: "yellow",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A file's outcome: a prediction and the milliseconds that it took, or the error in its place."""

    file: str
    prediction: Prediction | None = None
    milliseconds: float = 0.0
    error: str = ""


def print_predictions(rows: Iterable[Row], console: Console) -> None:
    """Print the classes of every file, best first; the file and the time stand beside the first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold", max_width=40)
    table.add_column("class", overflow="fold")
    table.add_column("probability", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    for number, row in enumerate(rows):
        if number:
            table.add_row()
        if row.prediction is None:
            table.add_row(Text(row.file), Text("-", style="dim"), "", "")
            continue
        for place, entry in enumerate(row.prediction.classes):
            style = "bold" if place == 0 else ""
            table.add_row(
                Text(row.file) if place == 0 else "",
                Text(entry.label, style=style),
                _bar(entry.probability, console),
                f"{row.milliseconds:.0f}" if place == 0 else "",
            )
    console.print(table)


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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("model", "version", "state", "labels", "error"):
        table.add_column(title, overflow="fold")
    for model in models:
        for place, version in enumerate(model.versions or (None,)):
            name = Text(model.name if place == 0 else "")
            if version is None:
                table.add_row(name, "", Text("no version", style="dim"), "", "")
                continue
            labels = ", ".join(sorted(key for key, value in model.labels.items() if value == version.version))
            table.add_row(name, str(version.version), _state(version), labels, Text(version.error))
    console.print(table)


def print_status(status: ModelStatus, console: Console) -> None:
    """Print the versions of a model."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("version", "state", "error"):
        table.add_column(title, overflow="fold")
    for version in status.versions:
        table.add_row(str(version.version), _state(version), Text(version.error))
    console.print(table)


def _state(version: VersionStatus) -> Text:
    return Text(version.state.value, style=_COLOURS.get(version.state, "red"))
