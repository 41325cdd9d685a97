"""Write `docs/results.md` with its small plots from the finished runs."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jinja2

from keraserve_models import atomic
from keraserve_training.drawing import page as drawing
from keraserve_training.experiment import Experiment
from keraserve_training.records import caveats, description, run_folder
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.reporting.content import Content, by_source
from keraserve_training.reporting.gathering import Gathered, Group
from keraserve_training.reporting.report_curves import all_curves
from keraserve_training.reporting.report_runs import over_seeds, value_of
from keraserve_training.reporting.sources import Source
from keraserve_training.studies import study

DOCUMENT, IMAGES = "results.md", "results"
_FULL = "full"
# These show images of the data sets, which are not ours to publish; only the report has them.
_NOT_OURS = ("samples.png", "augmentations.png", "reconstructions.png", "what-decided-")


def write(experiments: Iterable[Experiment], runs: Path, docs: Path, note: str = "") -> Path:
    """Write `results.md` into `docs`, and its plots into `docs/results/`; older plots there are removed.

    Runs with procedural images are left out: their figures mean nothing. `note` is a remark for readers, such
    as one about the data.
    """
    images = docs / IMAGES
    images.mkdir(parents=True, exist_ok=True)
    contents = by_source(experiments, runs, chosen=_real, paths=False)
    before = set(images.glob("*.png"))
    documents = [_document(source, members, images) for source, members in contents]
    items = [item for _, members in contents for item in members]
    shown = [run for item in items for group in item.gathered.groups for run in group.runs]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keraserve_training.reporting"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  it is Markdown, and `cell` escapes what a table can't hold
    )
    environment.filters["cell"] = _cell
    versions, machines = (
        dict.fromkeys(map(_versions, shown)),
        dict.fromkeys(filter(None, map(_machine, shown))),
    )
    template = environment.get_template("results.md.j2")
    text = template.render(note=note, documents=documents, versions=versions, machines=machines)
    atomic.write_text(docs / DOCUMENT, re.sub(r"\n{3,}", "\n\n", text))
    used = {images / name for name in re.findall(rf"\({IMAGES}/([^)]+)\)", text)}
    for stale in before - used:
        stale.unlink()
    return docs / DOCUMENT


def _real(gathered: Gathered) -> Gathered:
    """The runs with real images, of the largest profile that has any."""
    real = [
        Group(runs)
        for group in gathered.groups
        if (runs := tuple(run for run in group.runs if caveats.PROCEDURAL not in caveats.of(run.config)))
    ]
    return Gathered(
        tuple(group for group in real if group.latest.profile == real[0].latest.profile), gathered.troubles
    )


def _document(source: Source, items: Sequence[Content], images: Path) -> dict[str, Any]:
    file = images / f"source-{source.number}.png"
    caption = all_curves(file, source.name, [(item.experiment, item.gathered.shown) for item in items])
    return {
        "source": source,
        "image": f"{IMAGES}/{file.name}" if caption else "",
        "caption": caption,
        "rows": [row for item in items for row in _rows(item.experiment, item.gathered)],
        "experiments": [_experiment(item, images) for item in items],
    }


def _rows(experiment: Experiment, gathered: Gathered) -> list[dict[str, str]]:
    """A row for each figure of each set of options."""
    return [
        {
            "experiment": experiment.name,
            "figure": figure.title,
            "source": figure.source,
            "ours": value_of(group, figure),
            "seeds": over_seeds(group, figure),
            "run": _what(group.latest),
        }
        for group in gathered.groups
        for figure in experiment.figures
        if group.values(figure.metric)
    ]


def _what(run: FinishedRun) -> str:
    said = [description.described(run.config)]
    said += [f"**{each}**" for each in caveats.of(run.config)]
    said += [f"**profile {run.profile}**"] if run.profile != _FULL else []
    return "; ".join(said)


def _experiment(content: Content, images: Path) -> dict[str, Any]:
    experiment, run = content.experiment, content.gathered.shown
    said: list[str] = []
    drawn: list[tuple[str, str]] = []
    if run:
        drawn += [
            (title, _kept(run.folder / file, images / f"{experiment.name}-{file}"))
            for title, file in _drawn(run)
        ]
    if content.study and not content.study[1]["procedural"]:
        there, summary = content.study
        name = f"{experiment.name}-{study.PLOT}"
        said = [study.heading(summary), *study.words(summary)]
        drawn.append((summary["title"], _kept(there / study.PLOT, images / name)))
    return {
        "experiment": experiment,
        "question": content.question,
        "groups": [_group(experiment, group) for group in content.gathered.groups],
        "task": content.task,
        "warnings": content.warnings,
        "learnt": content.learnt,
        "images": [(title, path) for title, path in drawn if path],
        "shown": _what(run) if run else "",
        "study": said,
    }


def _drawn(run: FinishedRun) -> list[tuple[str, str]]:
    """Titles and files of the plots of a run that may be published."""
    return [("Loss and accuracy", run_folder.CURVES)] + [
        (image["title"], image["file"])
        for image in run.metrics.get("plots", [])
        if not image["file"].startswith(_NOT_OURS)
    ]


def _group(experiment: Experiment, group: Group) -> dict[str, str]:
    run = group.latest
    seeds = ", ".join(str(one.config["seed"]) for one in group.runs)
    return {
        "what": _what(run),
        "command": description.command(experiment.name, run, paths=False),
        "seeds": seeds,
        "data": description.data(run.config),
        "weights": description.weights(run.config),
        "finished": run.metrics["finished"][:10],
    }


def _kept(image: Path, copy: Path) -> str:
    """Copy a plot, made smaller; returns its path relative to the document, empty if there is none."""
    if not image.exists():
        return ""
    drawing.shrink(image, copy)
    return f"{IMAGES}/{copy.name}"


def _versions(run: FinishedRun) -> str:
    return ", ".join(f"{name} {version}" for name, version in run.config["versions"].items())


def _machine(run: FinishedRun) -> str:
    machine = run.config.get("machine")  # older runs don't say it
    return f"{machine['processor']}, {machine['cores']} cores" if machine else ""


def _cell(text: str) -> str:
    """Text inside a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
