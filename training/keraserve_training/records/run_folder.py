"""Where a run keeps its files, and how far it has come. Needs no TensorFlow.

runs/<experiment>/<profile>-seed<seed>[+<options>]/
    config.json     what was asked for: written first, compared when the run goes on
    images.json   of a run on one's own images: which they were, compared when it goes on or is exported
    <network>/      history.csv, checkpoint.npz while it learns (best.npz too, where the best epoch counts);
                    model.keras and result.json when done
    *.png           curves, confusion, mistakes, and what else the experiment draws
    predictions-*.npz   what each network said of each test image
    metrics.json    written last: the run is finished
runs/features/      what pre-trained networks made of images, shared by all runs
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keraserve_training.errors import RunDamagedError
from keraserve_training.locks import is_locked
from keraserve_training.records import history

CONFIG = "config.json"
METRICS = "metrics.json"
IMAGES = "images.json"
RESULT = "result.json"
MODEL = "model.keras"
HISTORY = "history.csv"
CHECKPOINT = "checkpoint.npz"
BEST = "best.npz"
LOCK = ".lock"
CURVES = "curves.png"
FEATURES = "features"


def path(runs: Path, experiment: str, profile: str, seed: int, options: str = "") -> Path:
    """The folder of a run; `options` is their slug, empty where none were given."""
    return runs / experiment / (f"{profile}-seed{seed}" + (f"+{options}" if options else ""))


def confusion_image(network: str) -> str:
    """Name of the file with a network's confusion matrix."""
    return f"confusion-{network}.png"


def mistakes_image(network: str) -> str:
    """Name of the file with the images that a network got wrong with the most confidence."""
    return f"mistakes-{network}.png"


def predictions_file(network: str) -> str:
    """Name of the file with what a network said of each test image; see `predictions`."""
    return f"predictions-{network}.npz"


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RunDamagedError: it is missing, can't be read or is something else.
    """
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise RunDamagedError(
            f"{file} can't be read ({error}): run again with --force to start anew."
        ) from error
    if not isinstance(content, dict):
        raise RunDamagedError(f"{file} is not what a run writes: run again with --force to start anew.")
    return content


@dataclass(frozen=True)
class FinishedRun:
    """A run whose every file is there.

    Attributes:
        folder: where it is.
        config: what `config.json` says.
        metrics: what `metrics.json` says.
    """

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def profile(self) -> str:
        """Name of its profile."""
        return self.config["profile"]["name"]

    @property
    def networks(self) -> dict[str, dict[str, Any]]:
        """What `metrics.json` says of each trained network."""
        return self.metrics["networks"]


def finished(runs: Path, experiment: str) -> list[FinishedRun]:
    """All finished runs of an experiment, in the order in which they finished.

    Raises:
        RunDamagedError: one can't be read.
    """
    folders = (runs / experiment).glob("*-seed*")
    found = [finished_in(folder) for folder in sorted(folders) if (folder / METRICS).exists()]
    return sorted(found, key=lambda run: run.metrics["finished"])


def finished_in(folder: Path) -> FinishedRun:
    """The finished run in a folder.

    Raises:
        RunDamagedError: it can't be read.
    """
    run = FinishedRun(folder, read_json(folder / CONFIG), read_json(folder / METRICS))
    if not {"run_id", "finished", "metrics", "networks", "seconds"} <= run.metrics.keys():
        raise RunDamagedError(f"{folder / METRICS} is not whole: run again with --force.")
    return run


def state(folder: Path) -> str:
    """How far a run has come, for people."""
    if not (folder / CONFIG).exists():
        return "not run"
    if (folder / METRICS).exists():
        return "finished"
    verb = "running, at" if is_locked(folder / LOCK) else "interrupted at"
    return f"{verb} {_place(folder)}"


def _place(folder: Path) -> str:
    """The network that was learning last, with its epoch."""
    networks = sorted(_networks(folder), key=lambda network: network.stat().st_mtime)
    if not networks:
        return "the start"
    last = networks[-1]
    return f"{last.name}, epoch {len(history.read(last / HISTORY))}"


def _networks(folder: Path) -> Iterator[Path]:
    return (inner for inner in folder.iterdir() if inner.is_dir())
