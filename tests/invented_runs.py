"""Write folders of finished runs, as `run.py` does, with invented figures: for tests of what reads them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keraserve_models import atomic
from keraserve_training import options, profiles, settings
from keraserve_training.drawing import confusion, curves, galleries
from keraserve_training.drawing import page as drawing
from keraserve_training.experiment import Experiment, Figure
from keraserve_training.records import caveats, history, run_folder
from keraserve_training.records.findings import Findings
from keraserve_training.run import RunSpec

REAL = {
    "name": "CIFAR-10",
    "kind": "public",
    "origin": "CIFAR-10 (University of Toronto)",
    "classes": 10,
    "train_images": 50_000,
    "test_images": 10_000,
    "sha256": "0" * 64,
}
PROCEDURAL = REAL | {
    "kind": "procedural",
    "origin": "procedural images made on the spot: they mean nothing",
}
RANDOM = {"kind": "random", "file": None, "sha256": "1" * 64, "note": ""}
IMAGENET = {"kind": "imagenet", "file": "mobilenet_2_5_224_tf_no_top.h5", "sha256": "2" * 64, "note": ""}


@dataclass(frozen=True)
class Settings(settings.Settings):
    """Those of the invented experiment."""

    pair: tuple[int, ...] = settings.setting((5, 6), "Two classes.", of_study=True)
    epochs: int = settings.epochs(20, "Passes over all images.")


def experiment(
    name: str,
    source: str = "000",
    *,
    learnt: Callable[[Findings], list[str]] | None = None,
    figures: Sequence[Figure] = (),
    title: str = "",
) -> Experiment:
    """An experiment that can't be run."""

    def train(run: Any, settings: Any) -> None:
        raise AssertionError("invented")

    return Experiment(
        name=name,
        source=source,
        title=title or f"The experiment {name}",
        task="Something is learnt from something.",
        data="CIFAR-10",
        weights="none",
        figures=tuple(figures) or (Figure("test_accuracy", "Test accuracy", "82.46 %"),),
        run=train,
        settings=Settings,
        servables=(),
        learnt=learnt or (lambda findings: [f"It gets {findings.metrics['test_accuracy']:.3f} right."]),
        parameters=1000,
    )


def rows(
    epochs: int,
    *,
    top: float = 0.8,
    start: float = 0.1,
    speed: float = 0.3,
    rises: float = 0.0,
    accuracy: bool = True,
    phases: Sequence[tuple[str, int]] = (),
    seed: int = 0,
) -> list[dict[str, Any]]:
    """A history that looks like one; `rises` is added to the validation loss in the end."""
    noise = np.random.default_rng(seed)
    found = []
    for epoch in range(1, epochs + 1):
        way = 1 - np.exp(-speed * epoch)
        phase = next((name for name, last in phases if epoch <= last), "trained")
        row: dict[str, Any] = {"epoch": epoch, "phase": phase}
        level = 2.5 * (1 - way) + 0.2 if accuracy else 0.02 * (1 - way) + 0.002
        row |= {"loss": level, "val_loss": level * 1.1 + rises * epoch / epochs}
        if accuracy:
            reached = start + (top - start) * way
            row |= {
                "accuracy": min(1.0, reached + 0.08 * way),
                "val_accuracy": reached + noise.normal(0, 0.006),
            }
        found.append(row | {"learning_rate": 0.01, "seconds": 2.5})
    return found


def network(
    history_rows: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    *,
    output: str = "softmax",
    accuracy: float | None = 0.8,
    images: int = 1000,
    parameters: int = 820_310,
    **more: Any,
) -> dict[str, Any]:
    """What `metrics.json` says of a network, and its rows under the key `rows`."""
    names = list(dict.fromkeys(row["phase"] for row in history_rows))
    tested = None if accuracy is None else _test(len(labels), accuracy, images)
    return {
        "rows": list(history_rows),
        "labels": list(labels),
        "output": output,
        "input": [32, 32, 3],
        "parameters": parameters,
        "train_images": 50_000,
        "validation_images": 10_000,
        "batch": 50,
        "phases": [
            {
                "name": name,
                "optimizer": "SGD",
                "learning_rate": 0.01,
                "trainable_parameters": parameters,
                "epochs": sum(row["phase"] == name for row in history_rows),
            }
            for name in names
        ],
        "epochs": len(history_rows),
        "best_epoch": None,
        "seconds": 2.5 * len(history_rows),
        "validation": {},
        "test": tested,
        **more,
    }


def _test(classes: int, accuracy: float, images: int) -> dict[str, Any]:
    draw = np.random.default_rng(classes)
    each = images // classes
    shares = draw.dirichlet(np.full(classes, 0.1), size=classes) * (1 - accuracy) + np.eye(classes) * accuracy
    matrix = np.stack([draw.multinomial(each, share / share.sum()) for share in shares])
    return {
        "accuracy": float(np.trace(matrix) / matrix.sum()),
        "loss": 0.6,
        "images": int(matrix.sum()),
        "confusion": matrix.tolist(),
        "mistakes": [],
    }


def write(
    runs: Path,
    of: Experiment,
    networks: Mapping[str, Mapping[str, Any]],
    metrics: Mapping[str, float],
    *,
    profile: str = "full",
    seed: int = 42,
    given: Mapping[str, Any] | None = None,
    changed: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] = REAL,
    weights: Any = "none",
    finished: str = "2026-01-02T03:04:05+00:00",
    photographs: Sequence[drawing.Pixels] = (),
    extras: Mapping[str, Any] | None = None,
    draw: Callable[[Path], None] | None = None,
) -> Path:
    """Write a finished run; `draw` draws what `extras["plots"]` names into the folder.

    What every run draws by itself is left out where there is nothing else to draw: it takes time.
    """
    chosen = options.Options(**(given or {}))
    spec = RunSpec(profiles.PROFILES[profile], seed, chosen, changed or {})
    folder = spec.folder(runs, of.name)
    folder.mkdir(parents=True)
    config = {
        "run_id": f"{of.name}-{seed}",
        "started": finished,
        "experiment": of.name,
        "profile": asdict(profiles.PROFILES[profile]),
        "seed": seed,
        "settings": spec.settings,
        "options": chosen.given(),
        "versions": {"python": "3.11.7", "keras": "3.15.1", "tensorflow": "2.21.0"},
        "source_commit": "0123abc",
        "data": dict(data),
        "weights": weights,
    }
    atomic.write_json(folder / run_folder.CONFIG, config)
    for name, content in networks.items():
        (folder / name).mkdir()
        if content["rows"]:
            history.write(folder / name / run_folder.HISTORY, content["rows"])
    if draw:
        with drawing.with_caveat(caveats.banner(config)):
            _draw(folder, networks, photographs)
            draw(folder)
    content = {
        "run_id": config["run_id"],
        "procedural": data["kind"] == "procedural",
        "metrics": dict(metrics),
        "networks": {
            name: {key: value for key, value in network.items() if key != "rows"}
            for name, network in networks.items()
        },
        "plots": [],
        "tables": [],
        "features": [],
        "seconds": sum(network["seconds"] for network in networks.values()),
        "finished": finished,
        **(extras or {}),
    }
    atomic.write_json(folder / run_folder.METRICS, content)
    return folder


def _draw(
    folder: Path, networks: Mapping[str, Mapping[str, Any]], photographs: Sequence[drawing.Pixels]
) -> None:
    """What every run draws by itself."""
    histories = {name: network["rows"] for name, network in networks.items() if network["rows"]}
    curves.curves(folder / run_folder.CURVES, histories)
    for name, network in networks.items():
        if network["test"] and network["rows"]:
            labels = network["labels"]
            matrix = np.array(network["test"]["confusion"])
            confusion.confusion(folder / run_folder.confusion_image(name), name, matrix, labels)
            if photographs:
                wrong = [(labels[0], labels[-1])] * len(photographs)
                sure = np.linspace(0.9999, 0.8, len(photographs)).tolist()
                galleries.mistakes(folder / run_folder.mistakes_image(name), name, photographs, wrong, sure)
