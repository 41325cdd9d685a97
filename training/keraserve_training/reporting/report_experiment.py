"""The values of the HTML report's template for one experiment."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keraserve_protocol.evaluation import ClassFigures
from keraserve_training import expected_ranges, number_format
from keraserve_training.drawing.confusion import NUMBERED
from keraserve_training.experiment import Experiment, Figure
from keraserve_training.records import caveats, description, evidence, history, run_folder
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.reporting import gathering, reading
from keraserve_training.reporting.content import Content
from keraserve_training.reporting.embedding import Embedded, embed
from keraserve_training.reporting.report_runs import NOT_MEASURED, all_runs, badges
from keraserve_training.reporting.report_study import study_part, varied_part

_CONFUSIONS_LISTED = 12


def experiment_part(content: Content, runs: Path) -> dict[str, Any]:
    """Everything about one experiment and the run that represents it."""
    experiment, gathered = content.experiment, content.gathered
    part: dict[str, Any] = {
        "anchor": content.anchor,
        "name": content.name,
        "experiment": experiment,
        "question": content.question,
        "title": content.title,
        "task": content.task,
        "run": gathered.shown,
        "state": run_folder.state(run_folder.path(runs, experiment.name, "full", 42)),
        "troubles": gathered.troubles,
        "studies": [*filter(None, [study_part(content)]), *varied_part(content)],
        "all_runs": all_runs(experiment, gathered),
    }
    return part | _shown(content, gathered.shown) if gathered.shown else part


def _shown(content: Content, run: FinishedRun) -> dict[str, Any]:
    experiment = content.experiment
    values = run.metrics["metrics"]
    return {
        "warnings": content.warnings,
        "badges": badges(run),
        "caveats": caveats.of(run.config),
        "options": description.described(run.config) if gathering.key(run) else "",
        "learnt": content.learnt,
        "figures": [_figure(experiment, run, figure, values) for figure in experiment.figures],
        "networks": [_network(name, network) for name, network in run.networks.items()],
        "readings": _readings(run),
        "curves": embed(
            run.folder / run_folder.CURVES, "Loss and accuracy of every network over its epochs", chart=True
        ),
        "images": _images(run),
        "tables": run.metrics.get("tables", []),
        "features": [_feature(record) for record in run.metrics.get("features", [])],
        "tried": _tried(run),
        "data": description.data(run.config),
        "weights": description.weights(run.config),
        "command": description.command(experiment.name, run),
    }


def _figure(
    experiment: Experiment, run: FinishedRun, figure: Figure, values: Mapping[str, float]
) -> dict[str, str]:
    value = values.get(figure.metric)
    span = expected_ranges.of(expected_ranges.key(experiment.name, gathering.key(run)), figure.metric)
    return {
        "title": figure.title,
        "source": figure.source,
        "ours": NOT_MEASURED if value is None else number_format.value(value, figure.unit),
        "range": f"{number_format.span(span.low, span.high, figure.unit)} ({span.runs} runs)"
        if span
        else NOT_MEASURED,
    }


def _network(name: str, network: Mapping[str, Any]) -> dict[str, str]:
    test, phases = network.get("test"), network.get("phases", [])
    composed = network.get("composed_of")
    return {
        "name": name,
        "parameters": f"{network['parameters']:,}",
        "images": f"{network['train_images']:,}",
        "epochs": "" if composed else str(network["epochs"]),
        "time": "" if composed else number_format.duration(network["seconds"]),
        "accuracy": evidence.accuracy(test) if test else "",
        "guess": number_format.percent(evidence.largest_class(test)[1]) if test else "",
        "loss": number_format.value(test["loss"], "loss") if test else "",
        "notes": _notes(network, phases, composed),
    }


def _notes(network: Mapping[str, Any], phases: Sequence[Mapping[str, Any]], composed: Any) -> str:
    if composed and not composed[1:]:
        return f"a copy of {composed[0]}, as it is served"
    if composed:
        apart = (
            f"; the two ways differ by at most {network['difference']:.1g}" if "difference" in network else ""
        )
        return f"{' and '.join(composed)} put together, as it is served{apart}"
    how = ", then ".join(_phase(phase) for phase in phases)
    if network.get("best_epoch"):
        how += f"; the weights of epoch {network['best_epoch']:.0f} were kept"
    return how


def _phase(phase: Mapping[str, Any]) -> str:
    epochs = "1 epoch" if phase["epochs"] == 1 else f"{phase['epochs']} epochs"
    return (
        f"{epochs} {phase['name']} ({phase['trainable_parameters']:,} parameters learn,"
        f" {phase['optimizer']}, rate {phase['learning_rate']:.3g})"
    )


def _readings(run: FinishedRun) -> list[tuple[str, str]]:
    """The networks of whose curves there is something to say, with the sentences."""
    found: list[tuple[str, str]] = []
    for name, network in run.trained.items():
        classes = None if network["output"] == "reconstruction" else len(network["labels"])
        rows = history.read(run.folder / name / run_folder.HISTORY)
        on = reading.TEST if network.get("validated_on_test") else reading.ASIDE
        found.append((name, reading.curve(rows, classes, on)))
    return [(name, said) for name, said in found if said]


def _images(run: FinishedRun) -> list[tuple[str, Embedded]]:
    found = [
        (image["title"], embed(run.folder / image["file"], image["title"], caption=image["caption"]))
        for image in run.metrics.get("plots", [])
    ]
    return [(title, image) for title, image in found if image]


def _feature(record: Mapping[str, Any]) -> str:
    how = "read from the cache, where they had been made in" if record["from_cache"] else "made in"
    return (
        f"{record['name']}: {record['images']:,} images, {how}"
        f" {number_format.duration(record['seconds'])}, {number_format.size(record['bytes'])} as"
        f" {record['dtype']}"
    )


def _tried(run: FinishedRun) -> list[dict[str, Any]]:
    """The confusion matrix and the most confident mistakes of each network."""
    found = []
    for name, network in run.trained.items():
        confusion = run.folder / run_folder.confusion_image(name)
        mistakes = run.folder / run_folder.mistakes_image(name)
        test = network.get("test")
        if test and (confusion.exists() or mistakes.exists()):
            found.append(
                {
                    "name": name,
                    "accuracy": number_format.percent(test["accuracy"]),
                    "confusion": embed(confusion, f"Confusion matrix of {name}", chart=True),
                    "reliability": embed(
                        run.folder / run_folder.reliability_image(name),
                        f"How often {name} is right beside how often it says so",
                        chart=True,
                    ),
                    "classes": classes(test["confusion"], network["labels"]),
                    "frequent": frequent(test["confusion"], network["labels"]),
                    "mistakes": embed(mistakes, f"The most confident mistakes of {name}", chart=False),
                }
            )
    return found


def classes(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Name, number of images, recall, precision and F1 of each class."""
    counts = np.asarray(confusion)
    rows = zip(labels, counts.sum(axis=1), counts.diagonal(), counts.sum(axis=0), strict=True)
    figures = [ClassFigures(name, *map(int, row)) for name, *row in rows]
    return [
        (each.name, f"{each.images:,}", *map(_share, (each.recall, each.precision, each.f1)))
        for each in figures
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else number_format.percent(value)


def frequent(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """The most frequent confusions of a matrix too large to read: true, predicted, how many, of how many."""
    if len(labels) <= NUMBERED:
        return []
    counts = np.asarray(confusion)
    wrong = counts - np.diag(np.diag(counts))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS_LISTED]
    places = [divmod(int(place), len(labels)) for place in order]
    return [
        (labels[true], labels[seen], f"{wrong[true, seen]:,}", f"{counts[true].sum():,}")
        for true, seen in places
        if wrong[true, seen]
    ]
