"""The processes of a system that is measured: started, watched and ended together.

Some systems start helpers that leave their parent's session and group. They inherit the environment, so a
mark in it tells to which system a process belongs.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.workspace import ROOT

_MARK = "KERASERVE_BENCH"
_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 300.0
_STOP_SECONDS = 10.0


class BenchError(RuntimeError):
    """Something can't be measured; the message says what to do."""


def run_module(name: str, *arguments: str, text: str | None = None, timeout: float | None = None) -> str:
    """Run a module as a program with `text` as standard input; returns what it printed.

    Raises:
        BenchError: it failed.
    """
    command, folder = [sys.executable, "-m", name, *arguments], ROOT / "benchmarks"
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=folder, timeout=timeout)
    if done.returncode:
        raise BenchError(f"{name} failed:\n{done.stderr[-2000:]}")
    return done.stdout


@dataclass(frozen=True)
class Command:
    """A program to start.

    Attributes:
        arguments: its command line.
        environment: variables in addition to ours.
        folder: its working directory.
    """

    arguments: Sequence[str | Path]
    environment: Mapping[str, str]
    folder: Path | None = None


@dataclass(frozen=True)
class Started:
    """The processes of a system that runs."""

    mark: str
    log: Path
    processes: Sequence[subprocess.Popen[bytes]]
    began: float

    def wait(self, ready: Callable[[], bool]) -> float:
        """Wait until `ready`; returns the seconds since the start.

        Raises:
            BenchError: a process has ended, or five minutes are over.
        """
        while not ready():
            ended = [one.returncode for one in self.processes if one.poll() is not None]
            if ended or time.monotonic() > self.began + _START_SECONDS:
                tail = "".join(self.log.read_text(errors="replace").splitlines(keepends=True)[-15:])
                raise BenchError(f"not ready, exit codes {ended}; {self.log} ends with:\n{tail}")
            time.sleep(0.01)
        return time.monotonic() - self.began

    def processor_seconds(self) -> float:
        """Processor time so far, with that of children that have ended."""
        return sum(_processor_seconds(number) for number in self._process_ids())

    def pss(self) -> int:
        """Bytes of memory: private memory, and a share of what several processes share."""
        return sum(_pss(number) for number in self._process_ids())

    def _process_ids(self) -> list[int]:
        wanted = f"{_MARK}={self.mark}".encode()
        return [number for number, entries in _environments() if wanted in entries]

    def stop(self) -> None:
        """Send SIGTERM to the processes that were started here, then SIGKILL to those that are left."""
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        while ids := self._process_ids():
            for number in ids:
                _kill(number)
            time.sleep(0.05)


@contextmanager
def started(name: str, commands: Sequence[Command], logs: Path) -> Iterator[Started]:
    """Start programs; in the end stop them."""
    logs.mkdir(parents=True, exist_ok=True)
    log, mark = logs / f"{name}.log", uuid.uuid4().hex
    began, processes = time.monotonic(), list[subprocess.Popen[bytes]]()
    group = Started(mark, log, processes, began)
    with log.open("wb") as out:
        try:
            for command in commands:
                environment = {**os.environ, **command.environment, _MARK: mark}
                arguments = [str(argument) for argument in command.arguments]
                processes.append(
                    subprocess.Popen(
                        arguments,
                        env=environment,
                        cwd=command.folder,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=out,
                        start_new_session=True,
                    )
                )
            yield group
        finally:
            group.stop()


def free_port() -> int:
    """Return the number of a free port on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # ended meanwhile, or of another user


def _processor_seconds(number: int) -> float:
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS  # user and system, with children that ended


def _pss(number: int) -> int:
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{number}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _kill(number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
