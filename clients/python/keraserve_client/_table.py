"""The tables that the command line prints: of classes, models, versions, outputs and figures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from keraserve_client._types import Arrays, Failure, Model, ModelStatus, Prediction, State, VersionStatus
from keraserve_protocol import json_text
from keraserve_protocol.evaluation import Comparison, Evaluation

_BAR = 20  # columns
_MOST_ROWS, _MOST_CONFUSIONS = 50, 15
_LONGEST = 400  # characters of a value
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
    several = any(isinstance(outcome, Prediction) and len(outcome.classes) > 1 for _, outcome in outcomes)
    for number, (path, outcome) in enumerate(outcomes):
        if number and several:
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


def _table(*titles: str | Text) -> Table:
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


def print_outputs(outputs: Arrays, as_lists: Callable[[Any], Any], console: Console) -> None:
    """Print outputs: a line for each row, where all have as many; else a line for each output."""
    counts = {array.shape[:1] for array in outputs.values()}
    titles = [Text(f"{name}\n{_kind(array)}") for name, array in outputs.items()]
    if len(counts) == 1 and counts != {()}:
        [[count]] = counts
        table = _table(*titles)
        rows = [as_lists(array[:_MOST_ROWS]) for array in outputs.values()]
        for cells in zip(*rows, strict=True):
            table.add_row(*map(_value, cells))
        console.print(table)
        if count > _MOST_ROWS:
            console.print(Text(f"{count - _MOST_ROWS:,} more rows: --json has all", style="dim"))
    else:
        table = _table("output", "value")
        for title, array in zip(titles, outputs.values(), strict=True):
            table.add_row(title, _value(as_lists(array)))
        console.print(table)


def _kind(array: np.ndarray[Any, Any]) -> str:
    return f"{'string' if array.dtype == object else array.dtype.name} {list(array.shape)}"


def _value(value: Any) -> Text:
    text = value if isinstance(value, str) else json_text.dump(value).decode()
    return Text(text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …")


def print_evaluation(evaluation: Evaluation, named: str, console: Console) -> None:
    """Print the accuracy with its interval, the figures of each class, and the confusions."""
    console.print(Text.assemble((_accuracy(evaluation), "bold"), f", {named}"))
    top5 = evaluation.top5_accuracy
    more = {
        "balanced accuracy": evaluation.balanced_accuracy,
        "mean F1": evaluation.macro_f1,
        **({} if top5 is None else {"among the first five": top5}),
        "expected calibration error": evaluation.calibration_error,
    }
    console.print(", ".join(f"{name} {value:.1%}" for name, value in more.items()))
    table = _table("class", "images", "right", "recall", "precision", "F1")
    for each in evaluation.classes:
        figures = (_part(each.recall), _part(each.precision), _part(each.f1))
        table.add_row(Text(each.name), f"{each.images:,}", f"{each.right:,}", *figures)
    console.print(table)
    if evaluation.confusions:
        console.print()
        table = _table("class", "was taken for", "images")
        for one in evaluation.confusions[:_MOST_CONFUSIONS]:
            table.add_row(Text(one.truth), Text(one.found), f"{one.images:,}")
        console.print(table)
        if len(evaluation.confusions) > _MOST_CONFUSIONS:
            more = len(evaluation.confusions) - _MOST_CONFUSIONS
            console.print(Text(f"{more:,} more: --json has all", style="dim"))


def print_comparison(other: Evaluation, comparison: Comparison, named: str, console: Console) -> None:
    """Print the accuracy of the other version, and how they differ on the same images."""
    console.print()
    console.print(Text.assemble((_accuracy(other), "bold"), f", {named}"))
    console.print(
        f"right by the first only: {comparison.only_first:,}, by this one only: {comparison.only_second:,};"
        f" p = {comparison.p_value:.2g} (McNemar's exact test)"
    )


def _accuracy(evaluation: Evaluation) -> str:
    low, high = evaluation.interval
    return (
        f"accuracy {evaluation.accuracy:.1%} ({evaluation.right:,} of {len(evaluation.truths):,};"
        f" 95 % interval {low:.1%} to {high:.1%})"
    )


def _part(part: float | None) -> str:
    return "-" if part is None else f"{part:.1%}"
