"""The check that a machine of a Ray cluster is fit for a piece of work, before it begins. Needs no Ray."""

import contextlib
import functools
import hashlib
import os
import platform
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from keraserve_training import runtime
from keraserve_training.errors import WorkerError
from keraserve_training.records import provenance
from keraserve_training.workers.work import Done, attempt

# Seconds after which a network's file system shows a new file on every machine.
_SEEN_WITHIN = 20.0
# A lost machine may still be running, or the file server may still hold its lock (NFS 4: 90 s).
_GONE_WITHIN = 120.0
_PAUSE = 0.5
_DAY = 86_400.0


@dataclass(frozen=True)
class Machine:
    """What is required of a machine.

    Attributes:
        cpus: threads of the piece.
        there: the working directory, for relative paths.
        versions: of everything that results depend on.
        probe: a file in the shared folder, and its content.
    """

    cpus: int
    there: str
    versions: Mapping[str, str]
    probe: tuple[str, str]

    def check(self) -> None:
        """Raise WorkerError, with a sentence that names this machine, unless it fulfils this."""
        here = versions()
        differing = [
            f"{name} {here.get(name)} instead of {wanted}"
            for name, wanted in self.versions.items()
            if here.get(name) != wanted
        ]
        if differing:
            raise WorkerError(
                f"{platform.node()} has {', '.join(differing)}: results would differ, so install the same"
                " versions on every machine."
            )
        _check_sees(*self.probe)


def do(content: bytes, machine: Machine, before: int) -> Done | str:
    """Do a packed piece that was begun `before` times already; returns a sentence if the machine is unfit."""
    try:
        machine.check()
    except WorkerError as error:
        return str(error)
    with contextlib.suppress(OSError):
        os.chdir(machine.there)
    runtime.threads(machine.cpus)
    return attempt(content, busy_for=_GONE_WITHIN if before else 0.0)


@functools.cache
def versions() -> dict[str, str]:
    """Python, the libraries that results depend on, and a digest of this package's own source."""
    source = hashlib.sha256()
    here = Path(__file__).parent.parent
    for file in sorted(here.rglob("*.py")):
        source.update(f"{file.relative_to(here)}\0".encode() + file.read_bytes())
    return {**provenance.versions(), "keraserve-training's source": source.hexdigest()[:12]}


@contextlib.contextmanager
def probe(folder: Path) -> Iterator[tuple[str, str]]:
    """Write a file into a folder, by which another machine recognizes that it mounts the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(".seen-*"):  # of processes that were killed
        if time.time() - old.stat().st_mtime > _DAY:
            old.unlink(missing_ok=True)
    content = secrets.token_hex(16)
    file = folder.resolve() / f".seen-{content[:8]}"
    file.write_text(content)
    try:
        yield str(file), content
    finally:
        file.unlink(missing_ok=True)


def _check_sees(file: str, content: str) -> None:
    until = time.monotonic() + _SEEN_WITHIN
    while True:
        with contextlib.suppress(OSError):
            list(Path(file).parent.glob(".seen-*"))  # makes a network's file system refresh its cache
            if Path(file).read_text() == content:
                return
        if time.monotonic() > until:
            raise WorkerError(
                f"{platform.node()} does not see {Path(file).parent} of this machine: put the runs into a"
                " folder that all machines share under the same path, and name it with --runs."
            )
        time.sleep(_PAUSE)
