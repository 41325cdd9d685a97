"""The running product for these tests: gateway and embedded server as processes, or both in one process.

`make test` runs these tests for seconds, `make test-faults` as long as FAULTS_MINUTES and FAULTS_CASES say.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from free_ports import free_ports
from waiting import until

MINUTES = float(os.environ.get("FAULTS_MINUTES", "0"))
"""How long load is sent; 0 for some seconds."""
CASES = int(os.environ.get("FAULTS_CASES", "4000"))
"""The number of all cases of fuzzing."""
SLOTS = 16
"""Of the gateway of the embedded server without batching."""

_CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("KERASERVE_")}
_ENVIRONMENT = {**_CLEAN, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


class Process:
    """One of the project's programs, with a log."""

    def __init__(self, log: Path, program: str, *flags: str, within: Sequence[str] = ()) -> None:
        """Start it; `within` is a command that runs the command after it."""
        self.log = log
        self._command = [*within, str(Path(sys.executable).with_name(program)), *flags]
        self.start()

    def start(self) -> None:
        """Start it, again if it has ended."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(self._command, env=_ENVIRONMENT, stdout=out, stderr=out)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; after SIGKILL, wait until the process has ended."""
        self._process.send_signal(number)
        if number == signal.SIGKILL:
            self._process.wait(30)

    def end(self) -> int:
        """Stop it and wait; returns the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait until it ends by itself; returns the exit status."""
        return self._process.wait(60)

    def runs(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def mebibytes(self, key: str = "VmRSS") -> int:
        """Its memory: VmRSS now, VmHWM at its peak since `forget_peak`."""
        return int(self._proc("status").split(f"{key}:")[1].split()[0]) // 1024

    def forget_peak(self) -> None:
        """Reset VmHWM."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def descriptors(self) -> int:
        """Count its open files and sockets."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()


@dataclass(frozen=True)
class Product:
    """The ports, processes and model repository; in process, both processes are the same one.

    Attributes:
        port: the gateway's, for HTTP.
        grpc_port: the gateway's.
        gateway: its process.
        model_server: its process.
        models: the repository.
        upstream: the model server's address, as the gateway's flag has it.
        rest_port: the embedded server's; 0 in process.
    """

    port: int
    grpc_port: int
    gateway: Process
    model_server: Process
    models: Path
    upstream: str
    rest_port: int = 0

    @property
    def url(self) -> str:
        """The gateway's."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def grpc(self) -> str:
        """The gateway's target for gRPC."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def processes(self) -> set[Process]:
        """Both, or the one of both."""
        return {self.gateway, self.model_server}

    def add_version(self, model: str) -> int:
        """Copy the first version to the next number, atomically; returns the number."""
        folder = self.models / model
        version = 1 + max(int(one.name) for one in folder.iterdir() if one.name.isdecimal())
        shutil.copytree(folder / "1", folder / "coming")
        (folder / "coming").rename(folder / str(version))
        return version

    def status(self, path: str) -> int:
        """Send a GET on a new connection; returns the status."""
        request = b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode()
        return exchange(self.port, request)[0]


@contextmanager
def running(
    models: Path, folder: Path, *flags: str, in_process: bool = False, batching: bool = True
) -> Iterator[Product]:
    """Serve a copy of `models`; `flags` are the gateway's."""
    own = folder / "models"
    shutil.copytree(models, own)
    config = own / "models.config"
    config.write_text(config.read_text().replace(str(models), str(own)))
    flags = (f"--model-config-file={config}", *flags)
    if in_process:
        with gateway_before("in-process", folder, *flags, models=own) as product:
            yield product
        return
    port, rest = free_ports(2)
    server = Process(
        folder / "embedded.log",
        "keraserve-embedded",
        f"--port={port}",
        f"--rest_api_port={rest}",
        f"--model_config_file={config}",
        "--enable_serialization_as_tensor_content",
        *(["--enable_batching"] if batching else []),
    )
    with gateway_before(f"127.0.0.1:{port}", folder, *flags, models=own, server=server, rest=rest) as product:
        yield product


@contextmanager
def gateway_before(
    address: str,
    folder: Path,
    *flags: str,
    models: Path = Path(),
    server: Process | None = None,
    rest: int = 0,
    within: Sequence[str] = (),
) -> Iterator[Product]:
    """Run a gateway for a model server, and end both; without `server`, the model server is not ended.

    Raises:
        AssertionError: there is a traceback in a log.
    """
    http, grpc = free_ports(2)
    flags = (f"--model-server={address}", f"--port={http}", f"--grpc-port={grpc}", *flags)
    gateway = Process(folder / "gateway.log", "keraserve-gateway", *flags, within=within)
    product = Product(http, grpc, gateway, server or gateway, models, address, rest)
    try:
        until(lambda: _ready(product), f"{folder} is not ready", 180)
        yield product
        for process in product.processes:
            assert "Traceback" not in process.log.read_text(), process.log.read_text()[-3000:]
    finally:
        for process in product.processes:
            process.end()


def exchange(port: int, request: bytes, seconds: float = 60) -> tuple[int, bytes]:
    """Send bytes and read to the connection's end; returns status and body."""
    head, _, body = talk(port, request, seconds=seconds).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def talk(port: int, *pieces: bytes, seconds: float = 60) -> bytes:
    """Send pieces, each in its own packet, and read to the connection's end."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, piece in enumerate(pieces):
            time.sleep(0.1 if number else 0)
            wire.sendall(piece)
        return b"".join(iter(lambda: wire.recv(1 << 16), b""))


def post(path: str, body: bytes, media_type: str, *headers: str) -> bytes:
    """A POST request that closes its connection."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Connection: close", f"Content-Type: {media_type}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def _ready(product: Product) -> bool:
    for process in product.processes:
        if not process.runs():
            pytest.fail(process.log.read_text()[-3000:])
    try:
        return product.status("/readyz") == 200
    except OSError:
        return False
