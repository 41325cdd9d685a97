"""Several gateway processes on the same ports, for machines with many cores: started, watched, stopped.

The kernel divides new connections between the processes (`SO_REUSEPORT`). Each takes its part of the limits,
and all write their metrics into one folder, so that any of them gives those of all.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import structlog
from prometheus_client import multiprocess

from keraserve_gateway.serve import listen
from keraserve_gateway.settings import ENV_PREFIX, Settings
from keraserve_gateway.telemetry.metrics import FOLDER

log = structlog.get_logger()

_LOOK_SECONDS = 0.1
_BEGINNING = 10.0  # seconds; a process that fails so early, and is not killed, would fail again


def supervise(settings: Settings, arguments: Sequence[str]) -> int:
    """Run `settings.workers` processes until SIGTERM or SIGINT; start one again that ended by itself.

    Args:
        settings: those of the command.
        arguments: its flags, for the processes.

    Returns:
        0 after draining; else the status of a process that failed at its start.

    Raises:
        PortUnavailable: a port is in use, or the address is not one of this machine.
    """
    with ExitStack() as held:
        flags = [*arguments, "--workers=1"]
        for name in ("port", "grpc_port") if settings.grpc_port else ("port",):
            number = held.enter_context(_reserved(settings, name)).getsockname()[1]
            flags.append(f"--{name.replace('_', '-')}={number}")
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="keraserve-gateway-"))
        environment = {**os.environ, FOLDER: folder, f"{ENV_PREFIX}ONE_OF": str(settings.workers)}
        return _Workers([sys.executable, "-m", "keraserve_gateway.cli", *flags], environment).run(
            settings.workers
        )


def _reserved(settings: Settings, name: str) -> socket.socket:
    """Bind a port without listening: no other program takes it, and connections go to those that listen."""
    listening = listen(settings.host, getattr(settings, name), name)
    family, address = listening.family, listening.getsockname()
    listening.close()
    reserved = socket.socket(family)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(address)
    return reserved


class _Workers:
    """The processes; a second signal ends them at once."""

    def __init__(self, command: Sequence[str], environment: dict[str, str]) -> None:
        self._command, self._environment = command, environment
        self._running: dict[subprocess.Popen[bytes], float] = {}  # and when each was started
        self._stopping = False

    def run(self, count: int) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        status = 0
        for _ in range(count):
            self._start()
        while self._running:
            time.sleep(_LOOK_SECONDS)
            for process in [each for each in self._running if each.poll() is not None]:
                ended = self._ended(process)
                status = status or ended
        return status

    def _start(self) -> None:
        # Its standard input ends with this process; a group of its own, so that Ctrl-C comes from here, once.
        process = subprocess.Popen(
            self._command, env=self._environment, stdin=subprocess.PIPE, start_new_session=True
        )
        self._running[process] = time.monotonic()

    def _ended(self, process: "subprocess.Popen[bytes]") -> int:
        lived = time.monotonic() - self._running.pop(process)
        multiprocess.mark_process_dead(process.pid, self._environment[FOLDER])  # pyright: ignore
        if self._stopping:
            return 0 if process.returncode == -signal.SIGTERM else process.returncode
        if lived < _BEGINNING and process.returncode > 0:
            self._stop()
            return process.returncode
        log.error("a process ended; another one is started", status=process.returncode)
        self._start()
        return 0

    def _stop(self, *_: Any) -> None:
        self._stopping = True
        for process in self._running:
            process.send_signal(signal.SIGTERM)
