"""`running`: the two processes that serve without Docker, the embedded model server and the gateway."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from keraserve_client import Client, KeraserveError

LOOPBACK = "127.0.0.1"


class StackError(RuntimeError):
    """The stack can't be started; the message says why and what to do."""


@dataclass(frozen=True)
class Ports:
    """The three ports; 0 stands for any free one."""

    http: int = 8000
    grpc: int = 8500
    model_server: int = 8510

    def settled(self) -> "Ports":
        """Replace each 0 by a free port."""
        return Ports(*(port or free_port() for port in (self.http, self.grpc, self.model_server)))


@dataclass(frozen=True)
class Stack:
    """The addresses of a running stack, its processes, and the folder of their logs."""

    url: str
    grpc: str
    model_server: str
    logs: Path
    processes: list[subprocess.Popen[bytes]] = field(
        default_factory=list[subprocess.Popen[bytes]], repr=False
    )

    def check(self) -> None:
        """Raise StackError if a process has ended."""
        for process in self.processes:
            if process.poll() is not None:
                name = Path(str(process.args[0])).name  # pyright: ignore
                log = self.logs / f"{name}.log"
                raise StackError(f"{name} ended with code {process.returncode}: {log} says why")


@contextmanager
def running(models: Path, ports: Ports, *, logs: Path, seconds: float = 120) -> Iterator[Stack]:
    """Start both and wait until every model is ready; at the end stop both, the gateway first.

    Args:
        models: the model repository, with its `models.config`.
        ports: where to listen, on loopback.
        logs: a folder for what both print.
        seconds: how long to wait until all models are ready.

    Raises:
        StackError: nothing was exported, a process ended, or the time is over.
    """
    for stop in (signal.SIGTERM, signal.SIGHUP):  # these end both processes, as Ctrl-C does
        signal.signal(stop, _interrupt)
    config = models / "models.config"
    if not config.is_file():
        raise StackError(
            f"{config} is not there: nothing was exported yet. `make demo` does it in minutes, `make model"
            " DATA=folder` with your own images"
        )
    ports = ports.settled()
    stack = Stack(
        f"http://{LOOPBACK}:{ports.http}",
        f"{LOOPBACK}:{ports.grpc}",
        f"{LOOPBACK}:{ports.model_server}",
        logs,
    )
    model_server = [
        program("keraserve-embedded"),
        f"--port={ports.model_server}",
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_grpc_healthcheck_service=true",
        "--enable_serialization_as_tensor_content=true",
    ]
    settings = {
        "KERASERVE_HOST": LOOPBACK,
        "KERASERVE_PORT": str(ports.http),
        "KERASERVE_GRPC_PORT": str(ports.grpc),
        "KERASERVE_MODEL_SERVER": stack.model_server,
        "KERASERVE_MODEL_CONFIG_FILE": str(config),
    }
    # An ExitStack ends them in reverse order, so the gateway can drain while the model server still runs.
    with ExitStack() as exits:
        programs = (model_server, {}), ([program("keraserve-gateway")], settings)
        for command, environment in programs:
            stack.processes.append(exits.enter_context(_process(command, environment, logs)))
        _wait_until_ready(stack, seconds)
        yield stack


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _wait_until_ready(stack: Stack, seconds: float) -> None:
    give_up = time.monotonic() + seconds
    with Client(stack.url, timeout=2, retries=0) as client:
        while time.monotonic() < give_up:
            stack.check()
            try:
                if client.ready():
                    return
            except KeraserveError:
                pass  # not listening yet
            time.sleep(0.1)
    raise StackError(f"the models were not ready within {seconds:.0f} s; {stack.url}/readyz says which")


@contextmanager
def _process(command: list[str], settings: dict[str, str], logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{Path(command[0]).name}.log").open("wb") as output:
        # In a session of its own, so that Ctrl-C reaches only this program, which stops both in order.
        process = subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def program(name: str) -> str:
    """Return the path of one of our programs, relative to the current folder if it is below that."""
    path = Path(sys.executable).with_name(name)
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def free_port() -> int:
    """Return the number of a free port on loopback."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
