"""The commands `keraserve classify`, `keraserve models` and `keraserve status`."""

import dataclasses
import json
import ssl
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import grpc as grpcio
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.text import Text

from keraserve_client._client import DEFAULT_URL, Client
from keraserve_client._errors import ConnectionFailed, InvalidInput, KeraserveError
from keraserve_client._grpc import GrpcClient
from keraserve_client._keys import VARIABLE
from keraserve_client._table import print_models, print_predictions, print_status
from keraserve_client._types import Failure, Prediction
from keraserve_protocol import image_formats
from keraserve_protocol.image_folders import images_below

_FEW = 3  # retries of a command that a person waits for
_FIRST_SECONDS = 5.0  # until an address without a server is reported

app = typer.Typer(
    help=f"Classify images with the models of a Keraserve gateway. An API key is taken from {VARIABLE}.",
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
Tls = Annotated[bool, typer.Option("--tls", help="Speak gRPC over TLS; https:// says so for HTTP.")]
CaFile = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        dir_okay=False,
        help="Certificates (PEM) to trust instead of the system's.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print a line of JSON for each image.")]
Timeout = Annotated[float, typer.Option(min=0.001, help="Seconds for each request, retries included.")]
Version = Annotated[int | None, typer.Option(help="A version instead of the newest.", show_default=False)]
Label = Annotated[str | None, typer.Option(help="A version label, such as stable.", show_default=False)]


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
    concurrency: Annotated[int, typer.Option(min=1, help="How many images at a time.")] = 32,
    url: Url = DEFAULT_URL,
    grpc: Grpc = None,
    tls: Tls = False,
    ca_file: CaFile = None,
    as_json: JsonLines = False,
    timeout: Timeout = 30.0,
) -> None:
    """Classify images."""
    failed: list[tuple[Path, Failure]] = []
    with _reported_errors(), _connect(url, grpc, tls, ca_file, timeout, retries=None) as client:
        paths = _images(files)
        outcomes = client.classify_many(model, paths, top_k, version, label, concurrency=concurrency)
        with _connect(url, grpc, tls, ca_file, min(timeout, _FIRST_SECONDS)) as first:
            _check_reached(first, model)
        found = _watched(zip(paths, outcomes, strict=True), len(paths), failed, as_json)
        if as_json:
            for path, outcome in found:
                _print_json(_as_json(path, outcome), indent=None)
        else:
            began = time.perf_counter()
            print_predictions(list(found), time.perf_counter() - began, _console())
    for path, failure in failed:
        _print_error(f"{path}: {_sentence(failure.error)}")
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
    """List the models with their versions and labels."""
    with _reported_errors(), _connect(url, grpc, tls, ca_file, timeout) as client:
        found = client.models()
    if as_json:
        _print_json([dataclasses.asdict(entry) for entry in found])
    elif found:
        print_models(found, _console())
    else:
        _print_error("the gateway has no models")


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
    with _reported_errors(), _connect(url, grpc, tls, ca_file, timeout) as client:
        found = client.status(model, version, label)
    if as_json:
        _print_json(dataclasses.asdict(found))
    else:
        print_status(found, _console())
    if not found.available:
        raise typer.Exit(1)


def _connect(
    url: str,
    grpc: str | None,
    tls: bool,
    ca_file: Path | None,
    timeout: float,
    *,
    retries: int | None = _FEW,
) -> Client | GrpcClient:
    if grpc is None:
        return Client(url, timeout=timeout, retries=retries, tls=_trusting(ca_file))
    if not tls and ca_file is None:
        return GrpcClient(grpc, timeout=timeout, retries=retries)
    credentials = grpcio.ssl_channel_credentials(ca_file.read_bytes() if ca_file else None)
    return GrpcClient(grpc, timeout=timeout, retries=retries, credentials=credentials)


def _check_reached(client: Client | GrpcClient, model: str) -> None:
    """Raise ConnectionFailed for a wrong address now, not after the whole timeout of the first images."""
    try:
        client.status(model)
    except ConnectionFailed:
        raise
    except KeraserveError:
        pass  # the images will have the same error


def _trusting(ca_file: Path | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except ssl.SSLError as error:
        raise InvalidInput(f"{ca_file} holds no certificate in PEM form") from error


def _images(paths: list[Path]) -> list[Path]:
    """Replace folders by the images in and below them, ordered by name."""
    found: list[Path] = []
    for path in paths:
        found += images_below(path) if path.is_dir() else [path]
    return found


def _watched(
    outcomes: Iterable[tuple[Path, Prediction | Failure]],
    total: int,
    failed: list[tuple[Path, Failure]],
    as_json: bool,
) -> Iterator[tuple[Path, Prediction | Failure]]:
    """Pass outcomes on, add the failed ones to `failed`, and show the progress on a terminal."""
    screen = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Lines of JSON on the same terminal show the progress already.
    silent = not screen.is_terminal or total == 1 or (as_json and sys.stdout.isatty())
    with Progress(*columns, console=screen, transient=True, disable=silent, redirect_stdout=False) as bar:
        for path, outcome in bar.track(outcomes, total=total):
            if isinstance(outcome, Failure):
                failed.append((path, outcome))
            yield path, outcome


def _as_json(path: Path, outcome: Prediction | Failure) -> dict[str, Any]:
    if isinstance(outcome, Failure):
        return {"file": str(path), "error": _sentence(outcome.error)}
    return {
        "file": str(path),
        "model": outcome.model,
        "version": outcome.version,
        "classes": [dataclasses.asdict(entry) for entry in outcome.classes],
        **({"warnings": list(outcome.warnings)} if outcome.warnings else {}),
    }


def _print_json(document: Any, indent: int | None = 2) -> None:
    sys.stdout.write(json.dumps(document, indent=indent, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False)


@contextmanager
def _reported_errors() -> Generator[None]:
    """Print an error as one sentence, and exit with 1."""
    try:
        yield
    except (KeraserveError, OSError) as error:
        _print_error(_sentence(error))
        raise typer.Exit(1) from None


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, KeraserveError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split())


def _print_error(sentence: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        Text.assemble(("keraserve: ", "bold red"), sentence)
    )
