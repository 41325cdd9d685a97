"""The files in a run's folder, how far the run has come, and reading a finished one. Needs no TensorFlow.

runs/<experiment>/<profile>-seed<seed>[+<options and settings>]/
    config.json     what was requested: written first, compared when the run goes on
    images.json     of a run on a user's own images: a list of them, compared when it goes on or is exported
    <network>/      history.csv, checkpoint.npz while it learns (best.npz too, where the best epoch counts);
                    model.keras and result.json when done
    *.png           curves, confusion matrices, mistakes, and the experiment's own plots
    predictions-*.npz   the class that each network predicted for each test image
    metrics.json    written last: the run is finished
runs/features/      features that pre-trained networks computed, shared by all runs
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keraserve_models.locks import is_locked
from keraserve_training.errors import OlderVersionError, RunDamagedError
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
COPIES = "decoded"  # of large images, beside the features


def path(runs: Path, experiment: str, profile: str, seed: int, options: str = "") -> Path:
    """The folder of a run; `options` is a slug of what was changed, or empty."""
    return runs / experiment / (f"{profile}-seed{seed}" + (f"+{options}" if options else ""))


def features(folder: Path, experiment: str) -> Path:
    """Where the features of all runs are: beside the experiments' folders, one of which holds `folder`."""
    own = next((parent for parent in folder.parents if parent.name == experiment), folder.parent)
    return own.parent / FEATURES


def confusion_image(network: str) -> str:
    """Name of the plot of a network's confusion matrix."""
    return f"confusion-{network}.png"


def reliability_image(network: str) -> str:
    """Name of the plot of how often a network is right beside how often it says so."""
    return f"reliability-{network}.png"


def what_decided_image(network: str) -> str:
    """Name of the plot of what decided on a network's most confident mistakes."""
    return f"what-decided-{network}.png"


def mistakes_image(network: str) -> str:
    """Name of the plot of the images that a network got wrong with the most confidence."""
    return f"mistakes-{network}.png"


def predictions_file(network: str) -> str:
    """Name of the file that `predictions` writes for a network."""
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


def read_config(folder: Path) -> dict[str, Any]:
    """Read a run's `config.json`.

    Raises:
        OlderVersionError: an older version wrote it, which called images otherwise in all its files.
        RunDamagedError: it can't be read.
    """
    config = read_json(folder / CONFIG)
    if "train_pictures" in config.get("data", {}):
        raise OlderVersionError(
            f"{folder} holds a run of an older version, which can't be read any more: run it again with"
            " --force."
        )
    return config


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its folder, and the content of `config.json` and `metrics.json`."""

    folder: Path
    config: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def profile(self) -> str:
        """The name of its profile."""
        return self.config["profile"]["name"]

    @property
    def networks(self) -> dict[str, dict[str, Any]]:
        """The entry of each trained network in `metrics.json`, by the network's name."""
        return self.metrics["networks"]

    @property
    def trained(self) -> dict[str, dict[str, Any]]:
        """`networks` without those that were composed of others."""
        return {name: network for name, network in self.networks.items() if not network.get("composed_of")}


def finished(runs: Path, experiment: str) -> list[FinishedRun]:
    """All finished runs of an experiment, in the order in which they finished.

    Raises:
        RunDamagedError: one can't be read, or is of an older version.
    """
    found = [finished_in(folder) for folder in finished_folders(runs, experiment)]
    return sorted(found, key=lambda run: run.metrics["finished"])


def finished_folders(runs: Path, experiment: str) -> list[Path]:
    """The folders of all finished runs of an experiment, readable or not."""
    return [file.parent for file in sorted((runs / experiment).glob(f"*-seed*/{METRICS}"))]


def finished_in(folder: Path) -> FinishedRun:
    """The finished run in a folder.

    Raises:
        RunDamagedError: it can't be read, or is of an older version.
    """
    run = FinishedRun(folder, read_config(folder), read_json(folder / METRICS))
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
    networks = [inner for inner in folder.iterdir() if inner.is_dir()]
    if not networks:
        return f"{verb} the start"
    last = max(networks, key=lambda network: network.stat().st_mtime)
    return f"{verb} {last.name}, epoch {len(history.read(last / HISTORY))}"
