"""What a run was, in words: its options, its pictures, its weights, and how to make it again."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keraserve_training.experiment import Experiment
from keraserve_training.options import flag
from keraserve_training.run_folder import FinishedRun


def options(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run; runs of older versions have none."""
    return config.get("options") or {}


def described(config: Mapping[str, Any]) -> str:
    """The options in words; or that there are none."""
    given = options(config)
    backbone = given.get("backbone")
    words = [
        f"pictures of {Path(given['data']).name}" if "data" in given else "",
        backbone + (f" of width {given['alpha']}" if "alpha" in given else "") if backbone else "",
        # Random weights are a mark, which is seen beside these words.
        f"weights of {Path(given['weights']).name}" if given.get("weights", "random") != "random" else "",
        f"{given['image_size']} px" if "image_size" in given else "",
        "fine-tuned" if given.get("fine_tune") else "",
        "bfloat16" if given.get("mixed_precision") else "",
        f"strategy {given['strategy']}" if "strategy" in given else "",
    ]
    return ", ".join(word for word in words if word) or "as the source document says"


def own_settings(experiment: Experiment, config: Mapping[str, Any]) -> bool:
    """Whether a run's settings are those of its experiment, as far as they were given at all."""
    own = inspect.signature(experiment.run).parameters
    defaults = {name: json.loads(json.dumps(own[name].default)) for name in config["settings"] if name in own}
    return defaults == config["settings"]


def command(experiment: str, run: FinishedRun, *, paths: bool = True) -> str:
    """What to type to make a run again.

    Args:
        experiment: its name.
        run: the run.
        paths: whether folders and files are written in full, or by their last part alone.
    """
    words = ["keraserve-train run", experiment]
    for name, given in options(run.config).items():
        shown = Path(given).name if name in ("data", "weights") and not paths else given
        words.append(flag(name) if given is True else f"{flag(name)} {shown}")
    words += [f"--profile {run.profile}"] if run.profile != "full" else []
    return " ".join([*words, f"--seed {run.config['seed']}"])


def weights(config: Mapping[str, Any]) -> str:
    """The pre-trained weights of a run in words."""
    record = config.get("weights")
    if not isinstance(record, Mapping):
        return str(record or "none")
    kinds = {"imagenet": "ImageNet", "random": "random weights", "file": "a file"}
    words = kinds.get(str(record.get("kind")), str(record.get("kind")))
    name = record.get("file")
    note = record.get("note")
    return words + (f" ({Path(str(name)).name})" if name else "") + (f"; {note}" if note else "")


def data(config: Mapping[str, Any]) -> str:
    """The pictures of a run in words."""
    record = config["data"]
    train, test = (f"{record[name]:,}" for name in ("train_pictures", "test_pictures"))
    return f"{record['origin']}: {train} training and {test} test pictures"
