"""The model repository on disk: `<base path>/<version>/saved_model.pb`."""

import logging
import os
import stat
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from keraserve_protocol.messages import MAX_VERSION

log = logging.getLogger(__name__)

Fingerprint = frozenset[tuple[str, int, int]]
_GRAPHS = ("saved_model.pb", "saved_model.pbtxt")


@dataclass(frozen=True)
class VersionPolicy:
    """Which of the versions on disk to serve: the `latest` ones, `specific` ones, or (neither) all.

    `latest` is the number of versions; it is ignored if there is `specific`.
    """

    latest: int | None = 1
    specific: frozenset[int] | None = None

    def choose(self, versions: set[int]) -> set[int]:
        """Choose among the versions that are on disk."""
        if self.specific is not None:
            return versions & self.specific
        if self.latest is None:
            return set(versions)
        return set(sorted(versions)[-self.latest :])


def scan(base_path: Path) -> dict[int, Path]:
    """Find the versions that may be loaded: numeric folders with a graph in them.

    The folder is kept open, so that all versions are found even if it is renamed meanwhile.

    Raises:
        OSError: `base_path` or a folder in it can't be read.
    """
    found: dict[int, list[Path]] = {}
    base = os.open(base_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(base) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            number = int(name) if name.isascii() and name.isdigit() else -1
            if 0 <= number <= MAX_VERSION and _has_graph(base, name):
                found.setdefault(number, []).append(base_path / name)
    finally:
        os.close(base)
    for number, folders in found.items():
        if len(folders) > 1:
            _say_twice(number, *folders)
    return {number: folders[-1] for number, folders in found.items()}


@cache
def _say_twice(number: int, *folders: Path) -> None:
    """Say once, not at each look at the disk, that several folders are one version."""
    *ignored, served = map(str, folders)
    log.warning(
        "version %d is there more than once: %s is served, ignored: %s", number, served, ", ".join(ignored)
    )


def fingerprint(folder: Path) -> Fingerprint:
    """Collect name, size and time of every file below `folder`, which change during a copy."""
    files: set[tuple[str, int, int]] = set()
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                status = path.stat()
            except OSError:  # gone since the folder was listed
                continue
            files.add((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
    return frozenset(files)


def _has_graph(base: int, folder: str) -> bool:
    return any(_is_file(base, f"{folder}/{name}") for name in _GRAPHS)


def _is_file(base: int, path: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(path, dir_fd=base).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
