"""What the commands of `keraserve` that talk to a server have in common: options, connection, printing."""

import json
import ssl
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import grpc as grpcio
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.text import Text

from keraserve_client._client import Client
from keraserve_client._errors import ConnectionFailed, InvalidInput, KeraserveError
from keraserve_client._grpc import GrpcClient
from keraserve_client._types import Failure, Prediction

_FEW = 3  # retries of a command that a person waits for
_FIRST_SECONDS = 5.0  # until an address without a server is reported

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
Concurrency = Annotated[int, typer.Option(min=1, help="How many images at a time.")]
Version = Annotated[int | None, typer.Option(help="A version instead of the newest.", show_default=False)]
Label = Annotated[str | None, typer.Option(help="A version label, such as stable.", show_default=False)]


def connect(
    url: str,
    grpc: str | None,
    tls: bool,
    ca_file: Path | None,
    timeout: float,
    *,
    retries: int | None = _FEW,
) -> Client | GrpcClient:
    """The client that the options ask for."""
    if grpc is None:
        return Client(url, timeout=timeout, retries=retries, tls=_trusting(ca_file))
    if not tls and ca_file is None:
        return GrpcClient(grpc, timeout=timeout, retries=retries)
    credentials = grpcio.ssl_channel_credentials(ca_file.read_bytes() if ca_file else None)
    return GrpcClient(grpc, timeout=timeout, retries=retries, credentials=credentials)


def check_reached(
    model: str, url: str, grpc: str | None, tls: bool, ca_file: Path | None, timeout: float
) -> None:
    """Raise ConnectionFailed for a wrong address now, not after the whole timeout of the first images."""
    with connect(url, grpc, tls, ca_file, min(timeout, _FIRST_SECONDS)) as client:
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


def watched(
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


def print_json(document: Any, indent: int | None = 2) -> None:
    """Print on standard output."""
    sys.stdout.write(json.dumps(document, indent=indent, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def console() -> Console:
    """Standard output, for tables."""
    return Console(file=sys.stdout, highlight=False)


@contextmanager
def reported_errors() -> Generator[None]:
    """Print an error as one sentence, and exit with 1."""
    try:
        yield
    except (KeraserveError, OSError) as error:
        other = " (for another address: --url or --grpc)" if isinstance(error, ConnectionFailed) else ""
        print_error(sentence(error) + other)
        raise typer.Exit(1) from None


def sentence(error: Exception) -> str:
    """What an error says, on one line."""
    if isinstance(error, OSError) and not isinstance(error, KeraserveError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split())


def print_error(text: str) -> None:
    """Print a sentence on standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        Text.assemble(("keraserve: ", "bold red"), text)
    )
