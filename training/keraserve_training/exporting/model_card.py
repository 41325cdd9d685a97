"""The model card of an exported version: its origin, its input, its test metrics, and warnings."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keraserve_protocol import image_formats
from keraserve_training import atomic
from keraserve_training.errors import RepositoryError
from keraserve_training.experiment import Experiment, Servable
from keraserve_training.exporting import repository
from keraserve_training.profiles import FULL
from keraserve_training.records import caveats, description, evidence
from keraserve_training.records.run_folder import FinishedRun

_METRICS = ("accuracy", "loss", "images")
_RANDOM = "The pre-trained network had random weights: nothing was transferred."
_IN_SHORT = "on fewer images, where there are many, and for fewer epochs"
_PROCEDURAL = (
    "Trained on procedural images, which mean nothing: to try the machinery, never to classify anything."
)


def card(experiment: Experiment, servable: Servable, run: FinishedRun, outdated: str = "") -> dict[str, Any]:
    """The card of one servable of a finished run, in JSON's types.

    `outdated` says what has changed about the run's images since; empty where nothing has.
    """
    network = run.networks[servable.model]
    test, labels = network["test"] or {}, network["labels"]
    return {
        "model": servable.name,
        "description": description.adapted(servable.description, experiment.phrases, run.config, labels),
        "warnings": warnings(servable, run, outdated),
        "experiment": experiment.name,
        "source_document": experiment.source,
        "task": description.adapted(experiment.task, experiment.phrases, run.config, labels),
        "run": run.metrics["run_id"],
        "run_folder": f"{experiment.name}/{run.folder.name}",
        "network": servable.model,
        "profile": run.profile,
        "seed": run.config["seed"],
        "options": run.config.get("options", {}),
        "labels": labels,
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


def write(place: Path, content: dict[str, Any]) -> None:
    """Write a card into the folder of a version: beside the model, and where its signature reads it."""
    for name in (repository.MODEL_CARD, repository.CARD_ASSET):
        atomic.write_json(place / name, content)


def exported_as(base: Path, run: FinishedRun) -> int | None:
    """The newest version in folder `base` that was exported from this run; None: there is none."""
    for version in reversed(repository.versions(base)):
        if _read(base / str(version)).get("run") == run.metrics["run_id"]:
            return version
    return None


def check_origin(base: Path, run: FinishedRun) -> None:
    """Check that a model's versions in folder `base` have the run's profile and kind of weights.

    Raises:
        RepositoryError: says which version is of another origin.
    """
    ours = _origin(run.profile, run.config.get("weights"))
    for version in reversed(repository.versions(base)):
        there = _read(base / str(version))
        if "run" not in there or "profile" not in there:
            continue  # not exported by us
        theirs = _origin(there["profile"], there.get("weights"))
        if theirs != ours:
            raise RepositoryError(
                f"{base / str(version)} is of {theirs}, {run.folder} of {ours}: versions of one model have"
                " one origin. Move that version away, or train under another --name."
            )


def _origin(profile: str, weights: Any) -> str:
    random = isinstance(weights, dict) and weights.get("kind") == "random"
    return f"profile {profile}" + (" and random weights" if random else "")


def _read(version: Path) -> dict[str, Any]:
    """A version's card; empty where it has none, as a model that we did not export."""
    try:
        content = json.loads((version / repository.MODEL_CARD).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def warnings(servable: Servable, run: FinishedRun, outdated: str = "") -> list[str]:
    """Sentences that everybody who uses predictions of this model has to know."""
    sentences = {caveats.PROCEDURAL: _PROCEDURAL, caveats.RANDOM: _RANDOM}
    found = [sentences[each] for each in caveats.of(run.config)]
    if run.profile != FULL.name and not run.metrics["procedural"]:
        found.append(f"Trained in short (profile {run.profile}): {_IN_SHORT}.")
    found += evidence.warnings(run.networks[servable.model])
    if outdated:
        found.append(f"Its images have changed since it learnt from them: {outdated}.")
    return found


def _input(shape: list[int]) -> dict[str, Any]:
    height, width, channels = shape
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "formats": [one.name for one in image_formats.FORMATS],
        "frames": "the first one of an animated GIF, PNG or WebP",
        "orientation": "turned upright as EXIF says",
        "size": "any; resized inside the model, bilinear with antialiasing, without keeping the proportions",
        "values": "0 to 255; scaled inside the model",
        "colour": (
            "grey; colours are turned into grey by ITU-R BT.601 luma"
            if channels == 1
            else "red, green, blue; grey is repeated three times"
        )
        + "; transparency is composed on white",
    }
