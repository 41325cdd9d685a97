"""The project's own programs, run as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
# `make test-containers TF_SERVING_IMAGE=…` tests with that image; by default with our own, built here.
GIVEN_IMAGE = os.environ.get("TF_SERVING_IMAGE")
TF_SERVING_IMAGE = GIVEN_IMAGE or "keraserve-embedded"
_OURS = () if GIVEN_IMAGE else ("-f", "docker/compose.embedded.yaml")
COMPOSE = ["docker", "compose", "-f", "compose.yaml", *_OURS]


def train(*arguments: str | Path) -> str:
    """Run `keraserve-train` to its good end; gives what it printed."""
    command = [str(BIN / "keraserve-train"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def save_images(folder: Path) -> None:
    """Write procedural images into `folder`, under the names that the demo gives its own."""
    command = [sys.executable, str(ROOT / "demo/images.py"), "--profile", "sample", str(folder)]
    subprocess.run(command, check=True, timeout=120)
