"""The rows of the HTML report's tables in which runs are compared."""

from typing import Any

from keraserve_training import number_format, statistics
from keraserve_training.experiment import Experiment, Figure
from keraserve_training.records import caveats, description
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.reporting.content import Content
from keraserve_training.reporting.gathering import Gathered, Group

NOT_MEASURED = "not measured"


def compared(content: Content) -> list[dict[str, Any]]:
    """The experiment's rows in its source document's table: one for each set of options, over all seeds."""
    gathered, first = content.gathered, content.experiment.figures[0]
    if not gathered.shown:
        return []
    line: dict[str, Any] = {"anchor": content.anchor, "name": content.name}
    line |= {"figure": first.title, "source": first.source}
    profile = gathered.shown.profile
    return [
        line
        | {
            "caveats": badges(group.latest),
            "options": description.described(group.latest.config),
            "ours": value_of(group, first),
            "over_seeds": over_seeds(group, first),
            "time": number_format.duration(group.latest.metrics["seconds"]),
            "features": _features(group.latest),
            "parameters": f"{max(network['parameters'] for network in group.latest.networks.values()):,}",
            "data": description.data(group.latest.config),
            "weights": description.weights(group.latest.config),
        }
        for group in gathered.groups
        if group.latest.profile == profile
    ]


def badges(run: FinishedRun) -> list[str]:
    """The caveats of a run, and its profile if that is not `full`."""
    return caveats.of(run.config) + ([] if run.profile == "full" else [f"profile {run.profile}"])


def all_runs(experiment: Experiment, gathered: Gathered) -> list[dict[str, Any]]:
    """A row for each finished run; none if the one shown is the only one."""
    lines = [
        {
            "options": description.described(run.config),
            "badges": badges(run),
            "seed": str(run.config["seed"]),
            "figures": [
                number_format.value(run.metrics["metrics"][figure.metric], figure.unit)
                if run.metrics["metrics"].get(figure.metric) is not None
                else ""
                for figure in experiment.figures
            ],
            "time": number_format.duration(run.metrics["seconds"]),
            "finished": run.metrics["finished"][:10],
            "shown": run is gathered.shown,
        }
        for group in gathered.groups
        for run in reversed(group.runs)
    ]
    return lines if len(lines) > 1 else []


def value_of(group: Group, figure: Figure) -> str:
    """A figure of the latest run."""
    values = group.values(figure.metric)
    return number_format.value(values[-1], figure.unit) if values else NOT_MEASURED


def over_seeds(group: Group, figure: Figure) -> str:
    """A figure's mean over the seeds with its interval; empty if there is one seed."""
    values = group.values(figure.metric)
    if len(values) < 2:
        return ""
    interval = statistics.mean_interval(values).within(*figure.limits)
    return (
        f"{len(values)} seeds: mean {number_format.value(interval.mean, figure.unit)}, 95 % interval"
        f" {number_format.span(interval.low, interval.high, figure.unit)}"
    )


def _features(run: FinishedRun) -> str:
    """How long this run took to compute features; empty if it computed none."""
    made = sum(record["seconds"] for record in run.metrics.get("features", []) if not record["from_cache"])
    return f"and {number_format.duration(made)} for features" if made else ""
