"""What a run needs: models, images, and the environments of the peers."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.processes import BenchError
from bench.systems.commands import PEERS_FOLDER, peer_python
from bench.systems.compared import PEERS
from bench.workspace import ROOT, BodyKind, Workspace
from keraserve_protocol import image_formats

IMAGES = 64


def images_in(folder: Path) -> list[Path]:
    """Choose images, spread evenly over all that lie below a folder.

    Raises:
        BenchError: there are fewer than eight.
    """
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in image_formats.SUFFIXES)
    if len(found) < 8:
        raise BenchError(f"{folder} has {len(found)} images: name a folder with some: make bench IMAGES=…")
    return found[:: max(1, len(found) // IMAGES)][:IMAGES]


def prepare(workspace: Workspace, images: Sequence[Path]) -> None:
    """Make models and bodies, if that has not been done for just these images."""
    made = workspace.folder / "made.json"
    sources = [str(file.resolve()) for file in images]
    wanted = json.dumps([*sources, str(workspace.models), workspace.model, *BodyKind])
    if made.is_file() and made.read_text() == wanted:
        return
    shutil.rmtree(workspace.folder, ignore_errors=True)
    workspace.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bench.model", str(workspace.folder.resolve())]
    if workspace.given:
        command += [str(workspace.models.resolve()), workspace.model]
    done = subprocess.run(
        command,
        input=json.dumps(sources),
        cwd=ROOT / "benchmarks",
        text=True,
        capture_output=True,
    )
    if done.returncode:
        raise BenchError(f"the models could not be made:\n{done.stderr[-2000:]}")
    made.write_text(wanted)


def install_peers() -> None:
    """Make an environment for each peer, with the versions that its file pins.

    Raises:
        BenchError: a package can't be had.
    """
    uv = Path(sys.executable).with_name("uv")
    for name in PEERS:
        python = peer_python(name)
        folder = python.parents[1]
        commands = [
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder],
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                python,
                "--requirements",
                PEERS_FOLDER / f"{name}.txt",
            ],
        ]
        for command in commands:
            if subprocess.run(command).returncode:
                raise BenchError(f"{name} could not be installed into {folder}")
        python.with_name("installed").touch()
