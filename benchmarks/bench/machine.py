"""The machine, the versions and the model of a run, for the report."""

import importlib.metadata
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from bench.systems.commands import PEERS_FOLDER
from bench.systems.compared import PEERS
from bench.workspace import ROOT, BodyKind, Workspace

_OURS = ("tensorflow", "fastapi", "uvicorn", "grpcio")


def about(workspace: Workspace) -> dict[str, str]:
    """Describe them by name, a line each."""
    weights = workspace.folder / "weights.txt"
    model = (
        f"MobileNet 0.25 at 128 px, 10 classes, {weights.read_text()}"
        if workspace.own
        else f"`{workspace.model}`"
    )
    sizes = [Path(file).stat().st_size for file in workspace.bodies(BodyKind.JPEG)]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.0f} GB",
        "versions": ", ".join(
            [
                f"Python {platform.python_version()}",
                *(f"{name} {importlib.metadata.version(name)}" for name in _OURS),
                *(" ".join(_pinned(name)) for name in PEERS),
            ]
        ),
        "model": model,
        "images": f"{len(sizes)} JPEG photographs of {sum(sizes) / len(sizes) / 1000:.1f} KB on average",
    }


def _pinned(peer: str) -> tuple[str, str]:
    name, _, version = (PEERS_FOLDER / f"{peer}.txt").read_text().splitlines()[0].partition("==")
    return name, version


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"
