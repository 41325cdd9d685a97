"""What a run needs: models, pictures, and the environments of the peers."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.commands import PEERS, peer_python
from bench.place import ROOT, Place
from bench.processes import BenchError
from keraserve_protocol import image_formats

PICTURES = 64
PEER_NAMES = ("litserve", "bentoml", "rayserve")


def pictures_in(folder: Path) -> list[Path]:
    """Choose pictures, spread evenly over all that lie below a folder.

    Raises:
        BenchError: there are fewer than eight.
    """
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in image_formats.SUFFIXES)
    if len(found) < 8:
        raise BenchError(
            f"{folder} has {len(found)} pictures: name a folder with some: make bench PICTURES=…"
        )
    return found[:: max(1, len(found) // PICTURES)][:PICTURES]


def prepare(place: Place, pictures: Sequence[Path]) -> None:
    """Make models and bodies, if that has not been done for just these pictures."""
    made = place.folder / "made.json"
    wanted = json.dumps([str(file.resolve()) for file in pictures] + [str(place.models), place.model])
    if made.is_file() and made.read_text() == wanted:
        return
    shutil.rmtree(place.folder, ignore_errors=True)
    place.folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bench.model", str(place.folder.resolve())]
    if place.given:
        command += [str(place.models.resolve()), place.model]
    done = subprocess.run(
        command,
        input=json.dumps([str(file.resolve()) for file in pictures]),
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
    for name in PEER_NAMES:
        python = peer_python(name)
        folder = python.parents[1]
        commands = [
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder],
            [uv, "pip", "install", "--quiet", "--python", python, "--requirements", PEERS / f"{name}.txt"],
        ]
        for command in commands:
            if subprocess.run(command).returncode:
                raise BenchError(f"{name} could not be installed into {folder}")
        python.with_name("installed").touch()
