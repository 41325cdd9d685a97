"""Write report.html, a page without links to the network: every experiment with its figures and sentences."""

import tempfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from keraserve_models import atomic
from keraserve_training.experiment import Experiment
from keraserve_training.reporting import sources
from keraserve_training.reporting.content import Content, by_source
from keraserve_training.reporting.embedding import embed
from keraserve_training.reporting.report_curves import all_curves
from keraserve_training.reporting.report_experiment import experiment_part
from keraserve_training.reporting.report_runs import compared
from keraserve_training.reporting.sources import Source

FILE = "report.html"


def write(experiments: Iterable[Experiment], runs: Path) -> Path:
    """Write `runs/report.html` from the run folders; returns its path.

    What is finished comes first, the user's own images before the source documents. Instead of a run that
    can't be read, the page says why.
    """
    documents = [
        (source, sorted(items, key=lambda item: not item.finished))
        for source, items in by_source(experiments, runs)
    ]
    documents.sort(key=lambda each: (not each[1][0].finished, not each[0].own))
    asked = [item for source, members in documents for item in members if not source.own]
    finished = sum(item.finished for item in asked)
    own = sum(
        item.gathered.shown is not None
        for source, members in documents
        for item in members
        if source.number == sources.OWN
    )
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keraserve_training.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        made=datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        summary=f"{finished} of {len(asked)} experiments finished."
        + (f" Models of your own images: {own}." if own else ""),
        documents=[_document(source, members, runs) for source, members in documents],
    )
    runs.mkdir(parents=True, exist_ok=True)
    atomic.write_text(runs / FILE, page)
    return runs / FILE


def _document(source: Source, items: Sequence[Content], runs: Path) -> dict[str, Any]:
    """The template's values for one source document."""
    # Networks of different images of one's own are not compared with each other.
    shown = [] if source.own else [(item.experiment, item.gathered.shown) for item in items]
    with tempfile.TemporaryDirectory() as there:
        file = Path(there) / "curves.png"
        caption = all_curves(file, source.name, shown)
        image = embed(file, "Accuracy and loss of every network", caption=caption)
    return {
        "source": source,
        "image": image,
        "rows": [row for item in items for row in compared(item)],
        "experiments": [experiment_part(item, runs) for item in items],
    }
