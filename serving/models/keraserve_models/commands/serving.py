"""`keraserve serve`: a repository, or one model in a repository of its own, in the gateway's process."""

import errno
import http.client
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from keraserve_models.commands.console import out
from keraserve_models.commands.import_options import request_of
from keraserve_models.commands.imported import import_
from keraserve_models.commands.repository import DEFAULT_MODELS
from keraserve_models.errors import ModelsError
from keraserve_models.repository import folders, server_config
from keraserve_protocol import model_config

_POLL_SECONDS = 0.1
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Address:
    """Where it is served.

    Attributes:
        host: the interface.
        port: of HTTP and the page.
        grpc_port: 0: no gRPC.
    """

    host: str
    port: int
    grpc_port: int

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://{self._named()}:{self.port}"

    @property
    def grpc(self) -> str:
        """A gRPC client's target."""
        return f"{self._named()}:{self.grpc_port}" if self.grpc_port else "off"

    def is_ready(self) -> bool:
        """Whether every model is served."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _named(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def serve(
    model: str, address: Address, options: dict[str, Any], chosen: dict[str, str], log_level: str
) -> int:
    """Serve until SIGINT or SIGTERM; gives the gateway's exit status.

    `chosen` are flags of the model server: `runtime` and `precision`.

    Raises:
        ModelsError: the model can't be imported, there is none, or a package is missing.
    """
    _check_there(Path(model))
    try:
        from keraserve_gateway import cli as gateway
        from keraserve_gateway.serve import PortUnavailable, listen
    except ModuleNotFoundError as error:
        raise ModelsError(f'{error.name} is not installed: pip install "keraserve[serve]"') from error
    try:  # before a model is imported, and so that no other server's readiness is taken for ours
        for port, setting in ((address.port, "port"), (address.grpc_port, "grpc_port")):
            if port:
                listen(address.host, port, setting).close()
    except PortUnavailable as error:
        raise ModelsError(str(error)) from error
    with _repository(model, options) as models:
        flags = {
            "model-server": "in-process",
            "model-config-file": models / server_config.FILE,
            "host": address.host,
            "port": address.port,
            "grpc-port": address.grpc_port,
            "log-level": log_level,
        }
        if chosen["runtime"] != "tensorflow":  # else what the environment says holds
            flags["model-server-flags"] = " ".join(f"--{name}={value}" for name, value in chosen.items())
        with _introduced(address, models):
            return gateway.main([f"--{flag}={value}" for flag, value in flags.items()])


def _check_there(model: Path) -> None:
    if model == DEFAULT_MODELS and not model.exists():
        raise ModelsError(
            "there is no repository 'models' here: name a model, such as keraserve serve model.keras;"
            " keraserve import and keraserve train make a repository"
        )
    if model.is_dir() and not any(each for each in model.iterdir() if not each.name.startswith(".")):
        raise ModelsError(f"{model} has no models: keraserve import adds one, keraserve train trains one")


@contextmanager
def _repository(model: str, options: dict[str, Any]) -> Iterator[Path]:
    """The folder with `models.config`: a repository, or a temporary one with the model."""
    folder = Path(model)
    if folder.is_dir() and ((folder / server_config.FILE).is_file() or folders.names(folder)):
        with _completed(folder) as place:
            yield place
        return
    with tempfile.TemporaryDirectory(prefix="keraserve-") as temporary:
        _set_threads()
        import_(request_of(model, Path(temporary), options))
        yield Path(temporary)


@contextmanager
def _completed(models: Path) -> Iterator[Path]:
    """The folder with a `models.config` of all models: the repository, or another where it is read-only."""
    try:
        notices = server_config.write(models)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
    else:
        _tell(notices)
        yield models
        return
    config = server_config.read(models)
    _tell(server_config.complete(config, models))
    if config == server_config.read(models):
        yield models
        return
    for entry in config.model_config_list.config:
        if not Path(entry.base_path).exists():  # a server would look beside the file
            entry.base_path = str(models.resolve() / Path(entry.base_path).name)
    with tempfile.TemporaryDirectory(prefix="keraserve-") as temporary:
        file = Path(temporary) / server_config.FILE
        file.write_text(model_config.render(config), encoding="utf-8")
        out.print(f"{models} can't be written: its {server_config.FILE} stays as it is, or absent")
        yield file.parent


def _tell(notices: list[str]) -> None:
    for notice in notices:
        out.print(notice)


def _set_threads() -> None:
    """Set the model server's threads: TensorFlow accepts them only before its first operation."""
    from keraserve_embedded.batching.options import BatchingOptions
    from keraserve_embedded.process.hosting import threads
    from keraserve_embedded.quiet_tensorflow import set_threads

    set_threads(*threads(BatchingOptions()))


@contextmanager
def _introduced(address: Address, models: Path) -> Iterator[None]:
    """Print where everything is, as soon as all models are served."""
    ended = threading.Event()

    def introduce() -> None:
        while not ended.wait(_POLL_SECONDS):
            if address.is_ready():
                out.print(_introduction(address, models))
                return

    threading.Thread(target=introduce, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _introduction(address: Address, models: Path) -> Table:
    names = [entry.name for entry in server_config.read(models).model_config_list.config]
    table = Table(show_header=False, box=None)
    table.add_row("page", address.url)
    table.add_row("API", f"{address.url}/docs")
    table.add_row("gRPC", address.grpc)
    table.add_row("models", ", ".join(names))
    table.add_row("stop", "Ctrl-C")
    return table
