"""Preparation of a run: models, images, and the environments of the peers."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.processes import BenchError, run_module
from bench.systems.commands import PEERS_FOLDER, peer_python
from bench.systems.compared import PEERS
from bench.workspace import NETWORKS, BodyKind, Workspace
from keraserve_protocol import image_formats

IMAGES = 64


def images_in(folder: Path) -> list[Path]:
    """Choose images evenly from all that are in and below a folder.

    Raises:
        BenchError: there are fewer than eight.
    """
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in image_formats.SUFFIXES)
    if len(found) < 8:
        raise BenchError(f"{folder} has {len(found)} images: name a folder with some: make bench IMAGES=…")
    return found[:: max(1, len(found) // IMAGES)][:IMAGES]


def prepare(workspace: Workspace, images: Sequence[Path]) -> None:
    """Make models and bodies, unless they are there for the same images."""
    made = workspace.folder / "made.json"
    sources = [str(file.resolve()) for file in images]
    wanted = json.dumps([*sources, str(workspace.models), workspace.model, *BodyKind, *NETWORKS])
    if made.is_file() and made.read_text() == wanted:
        return
    shutil.rmtree(workspace.folder, ignore_errors=True)
    workspace.folder.mkdir(parents=True, exist_ok=True)
    given = [str(workspace.models.resolve()), workspace.model] if workspace.given else []
    run_module("bench.model", str(workspace.folder.resolve()), *given, text=json.dumps(sources))
    made.write_text(wanted)


def install_peers() -> None:
    """Make an environment for each peer, with the versions that its file pins.

    Raises:
        BenchError: a package can't be installed.
    """
    uv = Path(sys.executable).with_name("uv")
    for name in PEERS:
        python = peer_python(name)
        folder = python.parents[1]
        commands = [
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder],
            [uv, "pip", "install", "--quiet", "--python", python, "-r", PEERS_FOLDER / f"{name}.txt"],
        ]
        for command in commands:
            if subprocess.run(command).returncode:
                raise BenchError(f"{name} could not be installed into {folder}")
        python.with_name("installed").touch()
