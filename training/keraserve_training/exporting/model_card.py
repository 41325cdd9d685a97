"""What travels with a model: its origin, what it takes, how good it is, what it is not for."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keraserve_training.experiment import Experiment, Servable
from keraserve_training.exporting import repository
from keraserve_training.profiles import QUICK
from keraserve_training.reporting import marks
from keraserve_training.run_folder import FinishedRun

_METRICS = ("accuracy", "loss", "pictures")
_RANDOM = "The pre-trained network had random weights: nothing was transferred."
_QUICK = "Trained on a part of the pictures and for few epochs (profile quick)."
_PROCEDURAL = (
    "Trained on procedural pictures, which mean nothing: to try the machinery, never to classify anything."
)


def card(experiment: Experiment, servable: Servable, run: FinishedRun, outdated: str = "") -> dict[str, Any]:
    """Describe one servable of a finished run, in JSON's types.

    Args:
        experiment: of the run.
        servable: one of its models.
        run: the run.
        outdated: what has changed about its pictures since; empty where nothing has.
    """
    network = run.networks[servable.model]
    test = network["test"] or {}
    return {
        "model": servable.name,
        "description": servable.description,
        "warnings": _warnings(run, outdated),
        "experiment": experiment.name,
        "source_document": experiment.source,
        "task": experiment.task,
        "run": run.metrics["run_id"],
        "run_folder": f"{experiment.name}/{run.folder.name}",
        "network": servable.model,
        "profile": run.profile,
        "seed": run.config["seed"],
        "options": run.config.get("options", {}),
        "labels": network["labels"],
        "input": _input(network["input"]),
        "metrics": {f"test_{name}": test[name] for name in _METRICS if name in test},
        "metrics_of_run": run.metrics["metrics"],
        "data": run.config["data"],
        "procedural": run.metrics["procedural"],
        "weights": run.config["weights"],
        "parameters": network["parameters"],
        "training_seconds": network["seconds"],
        "versions": run.config["versions"],
        "source_commit": run.config["source_commit"],
        "trained": run.metrics["finished"],
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def exported_as(base: Path, run_id: str) -> int | None:
    """The newest version in folder `base` that was exported from this run; None: there is none."""
    for version in reversed(repository.versions(base)):
        try:
            content = json.loads((base / str(version) / repository.MODEL_CARD).read_bytes())
        except (OSError, ValueError):
            continue  # somebody else's model: it may have no card
        if isinstance(content, dict) and content.get("run") == run_id:
            return version
    return None


def _warnings(run: FinishedRun, outdated: str) -> list[str]:
    """What everybody who sees an answer of this model has to know, a sentence each."""
    sentences = {marks.PROCEDURAL: _PROCEDURAL, marks.RANDOM: _RANDOM}
    found = [sentences[mark] for mark in marks.of(run.config)]
    if run.profile == QUICK.name:
        found.append(_QUICK)
    if outdated:
        found.append(f"Its pictures have changed since it learnt from them: {outdated}.")
    return found


def _input(shape: list[int]) -> dict[str, Any]:
    height, width, channels = shape
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "formats": ["JPEG", "PNG", "GIF (first frame)", "BMP"],
        "size": "any; resized inside the model, bilinear with antialiasing, without keeping the proportions",
        "values": "0 to 255; scaled inside the model",
        "colour": (
            "grey; colours are turned into grey by ITU-R BT.601 luma"
            if channels == 1
            else "red, green, blue; grey is repeated three times"
        )
        + "; alpha is dropped",
    }
