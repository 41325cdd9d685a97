"""The project's own programs, run as a user runs them."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
COMPOSE = ["docker", "compose", "-f", "compose.yaml", "-f", "docker/compose.embedded.yaml"]


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
