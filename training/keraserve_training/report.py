"""One HTML file without a network: every experiment, its figures beside the source's, and what was learnt."""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from keraserve_training import atomic, run_folder, study
from keraserve_training.experiment import Experiment, Figure
from keraserve_training.profiles import PROFILES
from keraserve_training.run_folder import FinishedRun

FILE = "report.html"
_MINUS = "\u2212"
_POINT = 100  # parts of one to percent


def write(experiments: Iterable[Experiment], runs: Path) -> Path:
    """Write `runs/report.html` from what is in the run folders; returns its path.

    Raises:
        RunDamagedError: a run can't be read.
    """
    items = [_item(experiment, runs) for experiment in experiments]
    finished = sum(item["run"] is not None for item in items)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keraserve_training"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        made=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        summary=f"{finished} of {len(items)} experiments finished.",
        items=items,
    )
    runs.mkdir(parents=True, exist_ok=True)
    atomic.write_text(runs / FILE, page)
    return runs / FILE


def _item(experiment: Experiment, runs: Path) -> dict[str, Any]:
    """What the template needs of one experiment: the latest run of the largest profile, and its study."""
    order = list(PROFILES)
    finished = sorted(run_folder.finished(runs, experiment.name), key=lambda run: -order.index(run.profile))
    found = study.read(runs, experiment.name)
    item: dict[str, Any] = {
        "experiment": experiment,
        "run": None,
        "state": run_folder.state(run_folder.path(runs, experiment.name, "full", 42)),
        "study": _study(*found) if found else None,
        "others": [_other(run) for run in finished[:-1]],
    }
    return item | _run(experiment, finished[-1]) if finished else item


def _run(experiment: Experiment, run: FinishedRun) -> dict[str, Any]:
    values = run.metrics["metrics"]
    curves = run.folder / run_folder.CURVES
    confusions = {name: run.folder / run_folder.confusion_picture(name) for name in run.networks}
    return {
        "run": run,
        "learnt": experiment.explain(values),
        "figures": [_figure(figure, values.get(figure.metric)) for figure in experiment.figures],
        "networks": [_network(name, network) for name, network in run.networks.items()],
        "curves": [_embedded(curves)] if curves.exists() else [],
        "confusions": [(name, _embedded(path)) for name, path in confusions.items() if path.exists()],
    }


def _figure(figure: Figure, value: float | None) -> dict[str, str]:
    show = _points if figure.low < 0 else _percent
    return {
        "title": figure.title,
        "source": figure.source,
        "ours": "not measured" if value is None else show(value),
        "range": f"{show(figure.low)} to {show(figure.high)} ({figure.runs} runs)"
        if figure.runs
        else "not measured",
    }


def _network(name: str, network: dict[str, Any]) -> dict[str, str]:
    test = network["test"]
    phases = network["phases"]
    return {
        "name": name,
        "parameters": f"{network['parameters']:,}",
        "pictures": f"{network['train_pictures']:,}",
        "epochs": str(network["epochs"]),
        "time": duration(network["seconds"]),
        "accuracy": _percent(test["accuracy"]) if test else "not tested",
        "loss": f"{test['loss']:.3f}" if test else "not tested",
        "phases": ", then ".join(_phase(phase) for phase in phases) if len(phases) > 1 else "",
    }


def _phase(phase: dict[str, Any]) -> str:
    return (
        f"{phase['epochs']} epochs {phase['name']} ({phase['trainable_parameters']:,} parameters learn,"
        f" rate {phase['learning_rate']:.3g})"
    )


def _study(there: Path, summary: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": summary["title"],
        "explanation": f"{summary['explanation']} {summary['pieces']} pieces,"
        f" {duration(summary['seconds'])} of training in all. The last line averages the classes for each"
        " seed first, so its interval is that of another seed with these classes, not of other classes.",
        "procedural": summary["procedural"],
        "profile": summary["profile"]["name"],
        "profile_explanation": summary["profile"]["explanation"],
        "picture": _embedded(there / study.PICTURE),
        "words": study.words(summary),
        "rows": [_study_row(summary, name) for name in summary["gain"]],
    }


def _study_row(summary: dict[str, Any], name: str) -> dict[str, str]:
    gain = summary["gain"][name]
    means = list(summary["means"][name].values()) if name in summary["means"] else []
    return {
        "name": f"{summary['variants'][name]} ({name})" if name in summary["variants"] else name,
        "with_reuse": _percent(means[0]) if means else "",
        "alone": _percent(means[1]) if means else "",
        "gain": _points(gain["mean"]),
        "interval": f"{_points(gain['low'])} to {_points(gain['high'])}"
        if gain["low"] is not None
        else "one seed",
    }


def _other(run: FinishedRun) -> str:
    return f"{run.folder.name} ({run.metrics['finished']})"


def _embedded(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"


def _percent(value: float) -> str:
    return f"{_POINT * value:.2f} %"


def _points(value: float) -> str:
    return f"{_POINT * value:+.2f} points".replace("-", _MINUS)


def duration(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
