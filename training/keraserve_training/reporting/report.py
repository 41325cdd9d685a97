"""Write report.html, a page without links to the network: every experiment with its figures and sentences."""

import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from keraserve_models import atomic
from keraserve_training.experiment import Experiment
from keraserve_training.reporting.content import Content, by_source
from keraserve_training.reporting.embedding import embed
from keraserve_training.reporting.report_curves import all_curves
from keraserve_training.reporting.report_experiment import experiment_part
from keraserve_training.reporting.report_runs import compared
from keraserve_training.reporting.sources import Source

FILE = "report.html"


def write(experiments: Iterable[Experiment], runs: Path) -> Path:
    """Write `runs/report.html` from the run folders; returns its path.

    Instead of a run that can't be read, the page says why.
    """
    documents = by_source(experiments, runs)
    items = [item for _, members in documents for item in members]
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
        documents=[_document(source, members, runs) for source, members in documents],
    )
    runs.mkdir(parents=True, exist_ok=True)
    atomic.write_text(runs / FILE, page)
    return runs / FILE


def _document(source: Source, items: Sequence[Content], runs: Path) -> dict[str, Any]:
    """The template's values for one source document."""
    shown = [(item.experiment, item.gathered.shown) for item in items]
    with tempfile.TemporaryDirectory() as there:
        file = Path(there) / "curves.png"
        caption = all_curves(file, source.name, shown)
        image = embed(file, "Accuracy and loss of every network", caption=caption)
    return {
        "source": source,
        "image": image,
        "rows": [row for item in items for row in compared(item.experiment, item.gathered)],
        "experiments": [experiment_part(item, runs) for item in items],
    }
