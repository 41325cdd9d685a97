"""The processes that are measured: started together, watched as one, ended together.

Some systems start helpers that leave their parent's session and group; all of them inherit the environment,
so a mark in it says whose they are.
"""

import os
import re
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_MARK = "KERASERVE_BENCH"
_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 300.0
_STOP_SECONDS = 10.0


class BenchError(RuntimeError):
    """Something can't be measured; the message says what to do."""


@dataclass(frozen=True)
class Command:
    """A program to start.

    Attributes:
        arguments: its command line.
        environment: what it needs beyond ours.
        folder: where it runs.
    """

    arguments: Sequence[str | Path]
    environment: Mapping[str, str]
    folder: Path | None = None


@dataclass(frozen=True)
class Started:
    """Processes that run."""

    mark: str
    log: Path
    processes: Sequence[subprocess.Popen[bytes]]
    began: float

    def wait(self, ready: Callable[[], bool]) -> float:
        """Wait until `ready`; gives the seconds since the start.

        Raises:
            BenchError: a process has ended, or five minutes are over.
        """
        while not ready():
            ended = [one.returncode for one in self.processes if one.poll() is not None]
            if ended or time.monotonic() > self.began + _START_SECONDS:
                tail = "".join(self.log.read_text(errors="replace").splitlines(keepends=True)[-15:])
                raise BenchError(f"{self.log} ends so, codes {ended}:\n{tail}")
            time.sleep(0.01)
        return time.monotonic() - self.began

    def processor_seconds(self) -> float:
        """Processor time of all of them so far, and of their children that have ended."""
        return sum(_processor_seconds(number) for number in self._process_ids())

    def pss(self) -> int:
        """Bytes of memory: each process's own, and its share of what several hold together."""
        return sum(_pss(number) for number in self._process_ids())

    def _process_ids(self) -> list[int]:
        wanted = f"{_MARK}={self.mark}".encode()
        return [number for number, entries in _environments() if wanted in entries]

    def stop(self) -> None:
        """End all: SIGTERM for those that were started here, and SIGKILL for what is left."""
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
    """Give the number of a port on loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def _environments() -> Iterator[tuple[int, list[bytes]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # ended meanwhile, or somebody else's


def _processor_seconds(number: int) -> float:
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS  # its own and its ended children's, user and system


def _pss(number: int) -> int:
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{number}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _kill(number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)
