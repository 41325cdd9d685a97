"""The commands `keraserve classify`, `predict`, `evaluate`, `models` and `status`."""

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from keraserve_client import _overlay
from keraserve_client._client import DEFAULT_URL
from keraserve_client._command_line import (
    CaFile,
    Concurrency,
    Grpc,
    Json,
    JsonLines,
    Label,
    Model,
    Timeout,
    Tls,
    Url,
    Version,
    check_reached,
    connect,
    console,
    print_error,
    print_json,
    reported_errors,
    sentence,
    watched,
)
from keraserve_client._errors import InvalidInput
from keraserve_client._evaluate_command import evaluate
from keraserve_client._keys import VARIABLE
from keraserve_client._predict_command import predict
from keraserve_client._table import print_models, print_predictions, print_status
from keraserve_client._types import Failure, Prediction
from keraserve_protocol import image_formats
from keraserve_protocol.image_folders import images_below

app = typer.Typer(
    help=f"Call the models of a Keraserve gateway. An API key is taken from {VARIABLE}.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(predict)
app.command()(evaluate)


@app.command()
def classify(
    model: Model,
    files: Annotated[
        list[Path],
        typer.Argument(help=f"Images, or folders of images ({image_formats.named()}).", show_default=False),
    ],
    top_k: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    version: Version = None,
    label: Label = None,
    concurrency: Concurrency = 32,
    why: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.PNG",
            dir_okay=False,
            help="Write the image, one alone, with a map of what speaks for its class.",
            show_default=False,
        ),
    ] = None,
    class_label: Annotated[
        str,
        typer.Option("--class", help="Of --why: another class than the best.", show_default=False),
    ] = "",
    url: Url = DEFAULT_URL,
    grpc: Grpc = None,
    tls: Tls = False,
    ca_file: CaFile = None,
    as_json: JsonLines = False,
    timeout: Timeout = 30.0,
) -> None:
    """Classify images."""
    if class_label and why is None:
        raise typer.BadParameter("--class is for --why")
    failed: list[tuple[Path, Failure]] = []
    with reported_errors(), connect(url, grpc, tls, ca_file, timeout, retries=None) as client:
        paths = _images(files)
        if why is not None and len(paths) != 1:
            raise InvalidInput(f"--why is for one image, not {len(paths)}")
        if why is not None and why.suffix.lower() != ".png":
            raise InvalidInput(f"--why writes a PNG: {why.with_suffix('.png')}, not {why}")
        if why is not None and why.exists() and why.samefile(paths[0]):
            raise InvalidInput(f"--why would write over the image: {why}")
        outcomes = client.classify_many(model, paths, top_k, version, label, concurrency=concurrency)
        check_reached(model, url, grpc, tls, ca_file, timeout)
        found = watched(zip(paths, outcomes, strict=True), len(paths), failed, as_json)
        if as_json:
            for path, outcome in found:
                print_json(_as_json(path, outcome), indent=None)
        else:
            began = time.perf_counter()
            print_predictions(list(found), time.perf_counter() - began, console())
        if why is not None and not failed:
            [explanation] = client.explain(model, paths[0], class_label, version, label)
            _overlay.write(why, paths[0], explanation)
    for path, failure in failed:
        print_error(f"{path}: {sentence(failure.error)}")
    if failed:
        raise typer.Exit(1)


@app.command()
def models(
    url: Url = DEFAULT_URL,
    grpc: Grpc = None,
    tls: Tls = False,
    ca_file: CaFile = None,
    as_json: Json = False,
    timeout: Timeout = 30.0,
) -> None:
    """List the models of a gateway with their versions and labels.

    The commands `keraserve models list`, `show`, `label` and `remove` work on a repository's folder.
    """
    with reported_errors(), connect(url, grpc, tls, ca_file, timeout) as client:
        found = client.models()
    if as_json:
        print_json([dataclasses.asdict(entry) for entry in found])
    elif found:
        print_models(found, console())
    else:
        print_error("the gateway has no models")


@app.command()
def status(
    model: Model,
    version: Version = None,
    label: Label = None,
    url: Url = DEFAULT_URL,
    grpc: Grpc = None,
    tls: Tls = False,
    ca_file: CaFile = None,
    as_json: Json = False,
    timeout: Timeout = 30.0,
) -> None:
    """Show the versions of a model; exit code 1 if none of them is available."""
    with reported_errors(), connect(url, grpc, tls, ca_file, timeout) as client:
        found = client.status(model, version, label)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        print_status(found, console())
    if not found.available:
        raise typer.Exit(1)


def _images(paths: list[Path]) -> list[Path]:
    """Replace folders by the images in and below them, ordered by name."""
    found: list[Path] = []
    for path in paths:
        found += images_below(path) if path.is_dir() else [path]
    return found


def _as_json(path: Path, outcome: Prediction | Failure) -> dict[str, Any]:
    if isinstance(outcome, Failure):
        return {"file": str(path), "error": sentence(outcome.error)}
    return {
        "file": str(path),
        "model": outcome.model,
        "version": outcome.version,
        "classes": [dataclasses.asdict(entry) for entry in outcome.classes],
        **({"warnings": list(outcome.warnings)} if outcome.warnings else {}),
    }
