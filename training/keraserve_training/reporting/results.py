"""What finished runs gave, as a document with small pictures: `docs/results.md`."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2

from keraserve_training import atomic
from keraserve_training.drawing import page as drawing
from keraserve_training.errors import RunDamagedError
from keraserve_training.experiment import Experiment
from keraserve_training.records import caveats, description, run_folder
from keraserve_training.records.findings import Findings
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.reporting import gathering, sources
from keraserve_training.reporting.gathering import Gathered, Group
from keraserve_training.reporting.report_curves import all_curves
from keraserve_training.reporting.report_experiment import warnings
from keraserve_training.reporting.report_runs import over_seeds, value_of
from keraserve_training.studies import study

DOCUMENT, PICTURES = "results.md", "results"
_FULL = "full"
# They show the data sets' own pictures, which are not ours to publish; the report has them.
_NOT_OURS = {"samples.png", "augmentations.png", "reconstructions.png"}


def write(experiments: Iterable[Experiment], runs: Path, docs: Path, note: str = "") -> Path:
    """Write `results.md` into `docs`, and its pictures into `docs/results/`, which has no others afterwards.

    Runs with procedural pictures are left out: their figures mean nothing. `note` is what readers have to
    know besides, as of the data.
    """
    pictures = docs / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    items = [(experiment, _real(gathering.gather(runs, experiment.name))) for experiment in experiments]
    items.sort(key=lambda item: item[0].source)
    before = set(pictures.glob("*.png"))
    documents = [
        _document(number, list(members), runs, pictures)
        for number, members in groupby(items, key=lambda item: item[0].source)
    ]
    shown = [run for _, gathered in items for group in gathered.groups for run in group.runs]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keraserve_training.reporting"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  it is Markdown, and `cell` escapes what a table can't hold
    )
    environment.filters["cell"] = _cell
    text = environment.get_template("results.md.j2").render(
        note=note, documents=documents, versions=_versions(shown), machines=_machines(shown)
    )
    atomic.write_text(docs / DOCUMENT, re.sub(r"\n{3,}", "\n\n", text))
    used = {pictures / name for name in re.findall(rf"\({PICTURES}/([^)]+)\)", text)}
    for stale in before - used:
        stale.unlink()
    return docs / DOCUMENT


def _real(gathered: Gathered) -> Gathered:
    """The runs with real pictures, of the largest profile that has any."""
    real = [
        Group(runs)
        for group in gathered.groups
        if (runs := tuple(run for run in group.runs if caveats.PROCEDURAL not in caveats.of(run.config)))
    ]
    return Gathered(
        tuple(group for group in real if group.latest.profile == real[0].latest.profile), gathered.troubles
    )


def _document(
    number: str, items: Sequence[tuple[Experiment, Gathered]], runs: Path, pictures: Path
) -> dict[str, Any]:
    file = pictures / f"source-{number}.png"
    caption = all_curves(file, number, [(experiment, found.shown) for experiment, found in items])
    return {
        "source": sources.of(number),
        "picture": f"{PICTURES}/{file.name}" if caption else "",
        "caption": caption,
        "rows": [row for experiment, found in items for row in _rows(experiment, found)],
        "experiments": [_experiment(experiment, found, runs, pictures) for experiment, found in items],
    }


def _rows(experiment: Experiment, gathered: Gathered) -> list[dict[str, str]]:
    """A line for each figure of each set of options."""
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


def _experiment(experiment: Experiment, gathered: Gathered, runs: Path, pictures: Path) -> dict[str, Any]:
    content: dict[str, Any] = {
        "experiment": experiment,
        "question": sources.QUESTIONS.get(experiment.name, ""),
        "groups": [_group(experiment, group) for group in gathered.groups],
        "task": experiment.task,
        "warnings": [],
        "learnt": [],
        "pictures": [],
        "shown": "",
        "study": [],
    }
    if found := study.read(runs, experiment.name):
        there, summary = found
        if not summary["procedural"]:
            name = f"{experiment.name}-{study.PICTURE}"
            content["study"] = [study.heading(summary), *study.words(summary)]
            content["pictures"] = [(summary["title"], _kept(there / study.PICTURE, pictures / name))]
    if run := gathered.shown:
        content["shown"] = _what(run)
        labels = next(iter(run.networks.values()))["labels"]
        content["task"] = description.adapted(experiment.task, experiment.phrases, run.config, labels)
        content["warnings"] = warnings(run)
        content["learnt"] = _learnt(experiment, run, runs)
        drawn = [("Loss and accuracy", run_folder.CURVES)]
        drawn += [
            (picture["title"], picture["file"])
            for picture in run.metrics.get("pictures", [])
            if picture["file"] not in _NOT_OURS
        ]
        there = [
            (title, _kept(run.folder / file, pictures / f"{experiment.name}-{file}")) for title, file in drawn
        ]
        content["pictures"] = there + content["pictures"]
    content["pictures"] = [(title, path) for title, path in content["pictures"] if path]
    return content


def _learnt(experiment: Experiment, run: FinishedRun, runs: Path) -> list[str]:
    try:
        return experiment.explain(Findings(run, runs))
    except RunDamagedError:
        return ["What was learnt can't be said: a run that this one is compared with can't be read."]


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


def _kept(picture: Path, copy: Path) -> str:
    """Copy a picture, made small; gives its path as the document needs it, empty where there is none."""
    if not picture.exists():
        return ""
    drawing.shrink(picture, copy)
    return f"{PICTURES}/{copy.name}"


def _versions(shown: Sequence[FinishedRun]) -> list[str]:
    """Every combination of versions that made a run, in words."""
    return _distinct(
        ", ".join(f"{name} {version}" for name, version in run.config["versions"].items()) for run in shown
    )


def _machines(shown: Sequence[FinishedRun]) -> list[str]:
    """Every machine that made a run; runs of older versions don't say."""
    machines = (run.config.get("machine") for run in shown)
    return _distinct(f"{machine['processor']}, {machine['cores']} cores" for machine in machines if machine)


def _distinct(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _cell(text: str) -> str:
    """Text inside a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")
