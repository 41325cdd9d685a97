"""One HTML file without a network: every experiment, its figures beside the source's, and what was learnt."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2

from keraserve_training import atomic
from keraserve_training.experiment import Experiment
from keraserve_training.reporting import gathering, sources
from keraserve_training.reporting.embedding import embed
from keraserve_training.reporting.gathering import Gathered
from keraserve_training.reporting.report_curves import all_curves
from keraserve_training.reporting.report_experiment import experiment_part
from keraserve_training.reporting.report_runs import compared

FILE = "report.html"


@dataclass(frozen=True)
class Item:
    """An experiment with what there is of it."""

    experiment: Experiment
    gathered: Gathered


def write(experiments: Iterable[Experiment], runs: Path) -> Path:
    """Write `runs/report.html` from what is in the run folders; returns its path.

    A run that can't be read is called out in its place.
    """
    items = [Item(experiment, gathering.gather(runs, experiment.name)) for experiment in experiments]
    items.sort(key=lambda item: item.experiment.source)
    finished = sum(item.gathered.shown is not None for item in items)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keraserve_training.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        made=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        summary=f"{finished} of {len(items)} experiments finished.",
        documents=[
            _document(number, list(members), runs)
            for number, members in groupby(items, key=lambda item: item.experiment.source)
        ],
    )
    runs.mkdir(parents=True, exist_ok=True)
    atomic.write_text(runs / FILE, page)
    return runs / FILE


def _document(number: str, items: Sequence[Item], runs: Path) -> dict[str, Any]:
    """What the template needs of one source document."""
    shown = [(item.experiment, item.gathered.shown) for item in items]
    with tempfile.TemporaryDirectory() as there:
        file = Path(there) / "curves.png"
        caption = all_curves(file, number, shown)
        picture = embed(file, "Accuracy and loss of every network", caption=caption)
    return {
        "source": sources.of(number),
        "picture": picture,
        "rows": [row for item in items for row in compared(item.experiment, item.gathered)],
        "experiments": [experiment_part(item.experiment, item.gathered, runs) for item in items],
    }
