"""The model card of an exported version: its origin, its input, its test metrics, and warnings."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keraserve_models.errors import RepositoryError
from keraserve_models.exporting.card import image_input
from keraserve_models.exporting.card import read as card_of
from keraserve_models.repository import folders
from keraserve_training.experiment import Experiment, Servable
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
    task = description.adapted(experiment.task, experiment.phrases, run.config, labels)
    given = run.config.get("settings", {})
    return {
        "model": servable.name,
        "description": description.adapted(servable.description, experiment.phrases, run.config, labels),
        "warnings": warnings(servable, run, outdated),
        "experiment": experiment.name,
        "source_document": experiment.source,
        "task": f"{task} {experiment.settings.sentence(given)}".strip(),
        "run": run.metrics["run_id"],
        "run_folder": f"{experiment.name}/{run.folder.name}",
        "network": servable.model,
        "profile": run.profile,
        "seed": run.config["seed"],
        "options": {name: _without_folders(value) for name, value in run.config.get("options", {}).items()},
        "settings": given,
        "labels": labels,
        "input": image_input(network["input"]),
        "metrics": {f"test_{name}": test[name] for name in _METRICS if name in test},
        "metrics_of_run": run.metrics["metrics"],
        "data": {name: value for name, value in run.config["data"].items() if value not in ("", [], None)},
        "procedural": run.metrics["procedural"],
        "weights": run.config["weights"],
        "parameters": network["parameters"],
        "training_seconds": network["seconds"],
        "versions": run.config["versions"],
        "source_commit": run.config["source_commit"],
        "trained": run.metrics["finished"],
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _without_folders(value: Any) -> Any:
    """The name of a file or folder: where it lies on the machine that trained is nobody else's business."""
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def exported_as(base: Path, run: FinishedRun) -> int | None:
    """The newest version in folder `base` that was exported from this run; None: there is none."""
    for version in reversed(folders.versions(base)):
        if card_of(base / str(version)).get("run") == run.metrics["run_id"]:
            return version
    return None


def check_origin(base: Path, run: FinishedRun) -> None:
    """Check that a model's versions in folder `base` have the run's profile and kind of weights.

    Raises:
        RepositoryError: says which version is of another origin.
    """
    ours = _origin(run.profile, run.config.get("weights"))
    for version in reversed(folders.versions(base)):
        there = card_of(base / str(version))
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


def warnings(servable: Servable, run: FinishedRun, outdated: str = "") -> list[str]:
    """Sentences that everybody who uses predictions of this model has to know."""
    sentences = {caveats.PROCEDURAL: _PROCEDURAL, caveats.RANDOM: _RANDOM}
    found = [sentences[each] for each in caveats.of(run.config)]
    if run.profile != FULL.name and not run.metrics["procedural"]:
        found.append(f"Trained in short (profile {run.profile}): {_IN_SHORT}.")
    found += description.doubts(run.config)
    found += evidence.warnings(run.networks[servable.model])
    if outdated:
        found.append(f"Its images have changed since it learnt from them: {outdated}.")
    return found
