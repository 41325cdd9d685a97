"""What made a run: versions of the libraries, commit of the source, machine, time."""

import contextlib
import functools
import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_LIBRARIES = ("keraserve-training", "keras", "tensorflow", "numpy")


@functools.cache
def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that a result depends on."""
    found = {"python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in _LIBRARIES}


@functools.cache
def source_commit() -> str | None:
    """The git commit of this package's source, with `-dirty` if it was changed since; None outside git.

    A container image, which has no repository in it, sets KERASERVE_SOURCE_COMMIT.
    """
    here = Path(__file__).resolve()
    package = here.parents[1]
    # A site-packages folder may lie in somebody else's repository: only a tracked file counts.
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is not None:
        commit = _git(here.parent, "rev-parse", "HEAD")
        changed = _git(package, "status", "--porcelain", "--", ".")
        if commit:
            return commit + ("-dirty" if changed else "")
    return os.environ.get("KERASERVE_SOURCE_COMMIT") or None


@functools.cache
def machine() -> dict[str, Any]:
    """The processor's name and number of cores."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):  # only Linux says it there
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return {"processor": name, "cores": os.cpu_count() or 1}


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
