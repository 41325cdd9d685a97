"""A run in words: its options, images, weights, and the command that repeats it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keraserve_training import settings
from keraserve_training.options import flag
from keraserve_training.records.run_folder import FinishedRun

UNCHANGED = "no options"
_FEW = 6  # classes that are named one by one


def options(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a run; runs of older versions have none."""
    return config.get("options") or {}


def described(config: Mapping[str, Any]) -> str:
    """The options and settings in words, or `no options`."""
    given = options(config)
    words = [
        f"images of {Path(given['data']).name}" if "data" in given else "",
        _network(given) if given.get("backbone") else "",
        # Random weights are a caveat, which stands beside these words.
        f"weights of {Path(given['weights']).name}" if given.get("weights", "random") != "random" else "",
        f"{given['image_size']} px" if "image_size" in given else "",
        "fine-tuned" if given.get("fine_tune") else "",
        "bfloat16" if given.get("mixed_precision") else "",
        f"strategy {given['strategy']}" if "strategy" in given else "",
        *settings.words(config.get("settings", {})),
    ]
    return ", ".join(word for word in words if word) or UNCHANGED


def adapted(text: str, phrases: Mapping[str, str], config: Mapping[str, Any], labels: Sequence[str]) -> str:
    """A text about an experiment, with a run's own network and images in place of the source document's.

    `phrases` are those of the experiment, `config` and `labels` (its classes) those of the run.
    """
    given = options(config)
    for phrase, what in phrases.items():
        if what == "network" and given.get("backbone"):
            text = text.replace(phrase, _network(given))
        elif what == "size" and "image_size" in given:
            text = text.replace(phrase, "{0} by {0} pixels".format(given["image_size"]))
        elif what == "data" and "data" in given:
            text = text.replace(phrase, Path(given["data"]).name)
        elif what == "classes" and "data" in given:
            verb = f"{phrase.split()[0]} " if phrase.split()[0].lower() in ("tell", "tells") else ""
            text = text.replace(phrase, verb + (_apart(labels) if verb else _listed(labels)))
    return text


def _network(given: Mapping[str, Any]) -> str:
    return given["backbone"] + (f" of width {given['alpha']}" if "alpha" in given else "")


def _apart(labels: Sequence[str]) -> str:
    """Classes, to follow "tells"."""
    if len(labels) == 2:
        return f"{labels[0]} from {labels[1]}"
    return f"{_listed(labels)} apart"


def _listed(labels: Sequence[str]) -> str:
    if len(labels) > _FEW:
        return f"{len(labels)} classes"
    return f"{', '.join(labels[:-1])} and {labels[-1]}"


def command(experiment: str, run: FinishedRun, *, paths: bool = True) -> str:
    """The command that repeats a run; without `paths`, folders and files are written by their last part."""
    return command_of(experiment, {**run.config, "profile": run.profile}, paths=paths)


def command_of(experiment: str, config: Mapping[str, Any], *, paths: bool = True) -> str:
    """The same from `profile` (its name), `seed`, `options` and `settings`."""
    words = ["keraserve-train run", experiment]
    for name, given in options(config).items():
        shown = Path(given).name if name in ("data", "weights") and not paths else given
        words.append(flag(name) if given is True else f"{flag(name)} {shown}")
    words += [f"--profile {config['profile']}"] if config["profile"] != "full" else []
    words += [f"--set {each}" for each in settings.words(config["settings"])]
    return " ".join([*words, f"--seed {config['seed']}"])


def weights(config: Mapping[str, Any]) -> str:
    """The pre-trained weights of a run in words."""
    record = config.get("weights")
    if not isinstance(record, Mapping):
        return str(record or "none")
    kinds = {
        "imagenet": "ImageNet",
        "preset": "the preset's own",
        "random": "random weights",
        "file": "a file",
    }
    words = kinds.get(str(record.get("kind")), str(record.get("kind")))
    name = record.get("file")
    note = record.get("note")
    return words + (f" ({Path(str(name)).name})" if name else "") + (f"; {note}" if note else "")


def data(config: Mapping[str, Any]) -> str:
    """The images of a run in words."""
    record = config["data"]
    train, test = (f"{record[name]:,}" for name in ("train_images", "test_images"))
    copies = record.get("copies")
    return f"{record['origin']}: {train} training and {test} test images" + (f"; {copies}" if copies else "")


def doubts(config: Mapping[str, Any]) -> list[str]:
    """Sentences on what makes figures of the user's images doubtful: some are learnt from and tested on."""
    return [f"{doubt}." for doubt in config["data"].get("doubts", [])]
