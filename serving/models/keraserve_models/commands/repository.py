"""The commands `keraserve models list|show|remove|label` of a repository."""

import json
import shlex
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from keraserve_models.commands.console import out, reported_errors
from keraserve_models.exporting import card as cards
from keraserve_models.repository import management
from keraserve_protocol.signatures import DEFAULT_SIGNATURE

DEFAULT_MODELS = Path("models")

app = typer.Typer(no_args_is_help=True, help="Manage the models of a repository.")

_LONGEST = 1000  # characters of an example

Models = Annotated[Path, typer.Option(help="The model repository.")]
Name = Annotated[str, typer.Argument(help="The model's name.", show_default=False)]


@app.command("list")
def list_(models: Models = DEFAULT_MODELS) -> None:
    """List the models with their versions, labels and origin."""
    with reported_errors():
        held = management.held(models)
    if not held:
        out.print(f"{models} has no models: keraserve import adds one")
        return
    table = Table("model", "versions", "labels", "what it does")
    for each in held:
        content = cards.read(models / each.name / str(each.versions[-1]))
        labels = ", ".join(f"{text} = {version}" for text, version in sorted(each.labels.items()))
        table.add_row(
            Text(each.name), ", ".join(map(str, each.versions)), Text(labels), Text(_summary(content))
        )
    out.print(table)


@app.command()
def show(
    name: Name,
    version: Annotated[int | None, typer.Option(min=0, show_default="the newest")] = None,
    models: Models = DEFAULT_MODELS,
) -> None:
    """Show the model card of a version: origin, input, classes, and how it was measured."""
    with reported_errors():
        place = management.place_of(models, name, version)
    content = cards.read(place)
    out.print(Text(f"{name}, version {place.name}", "bold"))
    if not content:
        out.print("It has no model card: Keraserve has neither trained nor imported it.")
    for warning in content.get("warnings", ()):
        out.print(Text(f"warning: {warning}", "yellow"))
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")  # a checksum is shown whole
    for key, value in content.items():
        if key not in ("model", "warnings", "example"):
            table.add_row(Text(key.replace("_", " "), "dim"), Text(_as_text(value)))
    out.print(table, soft_wrap=False)
    example = _example(name, content.get("example", {}))
    if 0 < len(example) <= _LONGEST:
        out.print(f"try it: {example}")


@app.command()
def remove(
    name: Name,
    version: Annotated[int | None, typer.Option(min=0, show_default="all")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    models: Models = DEFAULT_MODELS,
) -> None:
    """Delete a version, or the model with all its versions."""
    with reported_errors():
        management.place_of(models, name, version)
        what = f"version {version} of {name}" if version is not None else f"{name} with all its versions"
        if not yes and not typer.confirm(f"Delete {what} from {models}?"):
            raise typer.Exit(1)
        out.print(management.remove(models, name, version))


@app.command()
def label(
    name: Name,
    label: Annotated[str, typer.Argument(help="Such as stable.", show_default=False)],
    version: Annotated[int, typer.Argument(min=0, help="The version that gets it.", show_default=False)],
    models: Models = DEFAULT_MODELS,
) -> None:
    """Give a version a label, which callers use in place of its number."""
    with reported_errors():
        out.print(management.label(models, name, label, version))


def _summary(content: dict[str, Any]) -> str:
    description = str(content.get("description", "")).removesuffix(".") or "no model card"
    count = len(content.get("warnings", ()))
    return f"{description}; {count} warning{'s' if count > 1 else ''}" if count else description


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_as_text(each)}" for key, each in value.items())
    if isinstance(value, list):
        texts = list(map(_as_text, value))
        return ("; " if any(", " in each for each in texts) else ", ").join(texts)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)


def _example(name: str, request: dict[str, Any]) -> str:
    """The command that sends the card's example; empty where it has none."""
    inputs = request.get("inputs", {})
    if not inputs:
        return ""
    signature = request["signature_name"]
    other = [] if signature == DEFAULT_SIGNATURE else ["--signature", signature]
    given = [("--input", f"{key}={json.dumps(value, ensure_ascii=False)}") for key, value in inputs.items()]
    return shlex.join(["keraserve", "predict", name, *other, *chain.from_iterable(given)])
