"""The command line: `keraserve classify`, `keraserve models`, `keraserve status`."""

import dataclasses
import json
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from keraserve_client._client import DEFAULT_URL, Client
from keraserve_client._errors import KeraserveError
from keraserve_client._grpc import GrpcClient
from keraserve_client._table import Row, print_models, print_predictions, print_status

SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp"}

app = typer.Typer(
    help="Classify pictures with the models of a Keraserve gateway.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Model = Annotated[str, typer.Argument(help="The model's name.", show_default=False)]
Url = Annotated[str, typer.Option(envvar="KERASERVE_URL", help="The gateway's address.")]
Grpc = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Speak gRPC instead, to a gateway, TensorFlow Serving or the embedded server.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Timeout = Annotated[float, typer.Option(min=0.001, help="Seconds for each request, retries included.")]
Version = Annotated[int | None, typer.Option(help="A version instead of the newest.", show_default=False)]
Label = Annotated[str | None, typer.Option(help="A version label, such as stable.", show_default=False)]


@app.command()
def classify(
    model: Model,
    files: Annotated[
        list[Path],
        typer.Argument(help="Pictures, or folders of pictures (JPEG, PNG, GIF, BMP).", show_default=False),
    ],
    top_k: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    version: Version = None,
    label: Label = None,
    url: Url = DEFAULT_URL,
    grpc: Grpc = None,
    as_json: Json = False,
    timeout: Timeout = 30.0,
) -> None:
    """Say what pictures show."""
    with _complaints(), _connect(url, grpc, timeout) as client:
        rows = [_classify(client, model, path, top_k, version, label) for path in _pictures(files)]
    if as_json:
        _print_json([_as_json(row) for row in rows])
    else:
        print_predictions(rows, _console())
    failed = [row for row in rows if row.prediction is None]
    for row in failed:
        _complain(f"{row.file}: {row.error}")
    if failed:
        raise typer.Exit(1)


@app.command()
def models(url: Url = DEFAULT_URL, grpc: Grpc = None, as_json: Json = False, timeout: Timeout = 30.0) -> None:
    """List the models with their versions and labels."""
    with _complaints(), _connect(url, grpc, timeout) as client:
        found = client.models()
    if as_json:
        _print_json([dataclasses.asdict(entry) for entry in found])
    elif found:
        print_models(found, _console())
    else:
        _complain("the gateway has no models")


@app.command()
def status(
    model: Model,
    version: Version = None,
    label: Label = None,
    url: Url = DEFAULT_URL,
    grpc: Grpc = None,
    as_json: Json = False,
    timeout: Timeout = 30.0,
) -> None:
    """Show the versions of a model; exit code 1 if none of them answers."""
    with _complaints(), _connect(url, grpc, timeout) as client:
        found = client.status(model, version, label)
    if as_json:
        _print_json(dataclasses.asdict(found))
    else:
        print_status(found, _console())
    if not found.available:
        raise typer.Exit(1)


def _connect(url: str, grpc: str | None, timeout: float) -> Client | GrpcClient:
    return Client(url, timeout=timeout) if grpc is None else GrpcClient(grpc, timeout=timeout)


def _pictures(paths: list[Path]) -> list[Path]:
    """Replace folders by the pictures in and below them, in the order of their names."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(entry for entry in path.rglob("*") if entry.suffix.lower() in SUFFIXES)
        if not inside:
            raise FileNotFoundError(f"no pictures in {path}")
        found += inside
    return found


def _classify(
    client: Client | GrpcClient,
    model: str,
    path: Path,
    top_k: int,
    version: int | None,
    label: str | None,
) -> Row:
    """Classify one file; only what is about this file becomes a row, all else ends the command."""
    start = time.perf_counter()
    try:
        [prediction] = client.classify(model, path, top_k, version, label)
    except OSError as error:
        if isinstance(error, KeraserveError):
            raise
        return Row(str(path), error=_sentence(error))
    except KeraserveError as error:
        if error.status_code not in (400, 413, 415):
            raise
        return Row(str(path), error=_sentence(error))
    return Row(str(path), prediction, 1000 * (time.perf_counter() - start))


def _as_json(row: Row) -> dict[str, Any]:
    if row.prediction is None:
        return {"file": row.file, "error": row.error}
    return {
        "file": row.file,
        "model": row.prediction.model,
        "version": row.prediction.version,
        "milliseconds": round(row.milliseconds, 3),
        "classes": [dataclasses.asdict(entry) for entry in row.prediction.classes],
    }


def _print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False)


@contextmanager
def _complaints() -> Generator[None]:
    """Say a failure in one sentence, and exit with 1."""
    try:
        yield
    except (KeraserveError, OSError) as error:
        _complain(_sentence(error))
        raise typer.Exit(1) from None


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, KeraserveError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split())


def _complain(sentence: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        Text.assemble(("keraserve: ", "bold red"), sentence)
    )


def main() -> None:
    """Run the command line; the console script `keraserve`."""
    app()
