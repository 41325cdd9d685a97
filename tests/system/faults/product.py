"""The running product for these tests: gateway and embedded server as processes, or both in one process.

The short form runs with all tests. `make test-faults` is the long one;
FAULTS_MINUTES and FAULTS_CASES say how long.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

MINUTES = float(os.environ.get("FAULTS_MINUTES", "0"))
"""How long load goes on; 0: the short form, some seconds."""
CASES = int(os.environ.get("FAULTS_CASES", "4000"))
"""How many cases all fuzzing together has."""
PLACES = 16
"""Of the gateway before the embedded server without batching."""

_CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("KERASERVE_")}
_ENVIRONMENT = {**_CLEAN, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


class Process:
    """One of the project's programs, with a log."""

    def __init__(self, log: Path, program: str, *flags: str) -> None:
        self.log = log
        self._command = [str(Path(sys.executable).with_name(program)), *flags]
        self.start()

    def start(self) -> None:
        """Start it, again if it has ended."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(self._command, env=_ENVIRONMENT, stdout=out, stderr=out)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; SIGKILL is waited for."""
        self._process.send_signal(number)
        if number == signal.SIGKILL:
            self._process.wait(30)

    def end(self) -> int:
        """Ask it to stop and wait; gives the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
        return self._process.wait(60)

    def runs(self) -> bool:
        """Say whether it is still there."""
        return self._process.poll() is None

    def mebibytes(self, key: str = "VmRSS") -> int:
        """Read its memory: VmRSS now, VmHWM at its peak since `forget_peak`."""
        return int(self._proc("status").split(f"{key}:")[1].split()[0]) // 1024

    def forget_peak(self) -> None:
        """Let VmHWM begin anew."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def descriptors(self) -> int:
        """Count its open files and sockets."""
        return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()


@dataclass(frozen=True)
class Product:
    """What runs: where it listens, its processes (one and the same in process), and its own repository."""

    port: int
    grpc_port: int
    gateway: Process
    model_server: Process
    models: Path

    @property
    def url(self) -> str:
        """Of the gateway."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def grpc(self) -> str:
        """Of the gateway."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def processes(self) -> set[Process]:
        """The one or two."""
        return {self.gateway, self.model_server}

    def add_version(self, model: str) -> int:
        """Copy the first version to one more than the highest, whole at once; gives its number."""
        folder = self.models / model
        version = 1 + max(int(one.name) for one in folder.iterdir() if one.name.isdecimal())
        shutil.copytree(folder / "1", folder / "coming")
        (folder / "coming").rename(folder / str(version))
        return version

    def status(self, path: str) -> int:
        """Ask with GET on a connection of its own; gives the status."""
        return answer(self.port, b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())[
            0
        ]


@contextmanager
def running(
    models: Path, folder: Path, *flags: str, in_process: bool = False, batching: bool = True
) -> Iterator[Product]:
    """Serve a copy of `models`; `flags` are the gateway's, `batching` is the embedded server's."""
    own = folder / "models"
    shutil.copytree(models, own)
    config = own / "models.config"
    config.write_text(config.read_text().replace(str(models), str(own)))
    upstream, http, grpc = _free_ports(3)
    flags = (f"--model-config-file={config}", f"--port={http}", f"--grpc-port={grpc}", *flags)
    if in_process:
        gateway = Process(folder / "gateway.log", "keraserve-gateway", "--model-server=in-process", *flags)
        product = Product(http, grpc, gateway, gateway, own)
    else:
        server = Process(
            folder / "embedded.log",
            "keraserve-embedded",
            f"--port={upstream}",
            f"--model_config_file={config}",
            "--enable_serialization_as_tensor_content",
            *(["--enable_batching"] if batching else []),
        )
        address = f"--model-server=127.0.0.1:{upstream}"
        gateway = Process(folder / "gateway.log", "keraserve-gateway", address, *flags)
        product = Product(http, grpc, gateway, server, own)
    try:
        until(lambda: _ready(product), f"{folder} is not ready", 180)
        yield product
        for process in product.processes:
            assert "Traceback" not in process.log.read_text(), process.log.read_text()[-3000:]
    finally:
        for process in product.processes:
            process.end()


def until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for something, with a bound that no machine needs."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            pytest.fail(what)
        time.sleep(0.05)


def answer(port: int, request: bytes, seconds: float = 60) -> tuple[int, bytes]:
    """Send bytes and read to the connection's end; gives status and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as wire:
        wire.sendall(request)
        received = b""
        while more := wire.recv(1 << 16):
            received += more
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def post(path: str, body: bytes, media_type: str, *headers: str) -> bytes:
    """Write a POST on a connection of its own."""
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


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
