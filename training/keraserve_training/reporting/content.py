"""The text about each experiment that the HTML report and docs/results.md share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from keraserve_training.errors import RunDamagedError
from keraserve_training.experiment import Experiment
from keraserve_training.options import Options
from keraserve_training.records import description, evidence
from keraserve_training.records.findings import Findings
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.reporting import gathering, sources
from keraserve_training.reporting.gathering import Gathered, Group
from keraserve_training.reporting.sources import Source
from keraserve_training.studies import study, vary


@dataclass(frozen=True)
class Content:
    """The text about one experiment and the run that represents it.

    Attributes:
        anchor: the address of its section.
        name: what the contents call it: the experiment's name, or that of the user's own images.
        experiment: the experiment.
        gathered: its finished runs.
        question: of the source document; may be empty.
        title: one line, with the run's own network and images in place of the document's.
        task: what is learnt from what, adapted like the title.
        warnings: stand before the figures.
        learnt: what the figures show, a sentence or more per item.
        study: folder and summary of its best study, or None.
        varied: the same of every study of one of its settings.
    """

    anchor: str
    name: str
    experiment: Experiment
    gathered: Gathered
    question: str
    title: str
    task: str
    warnings: list[str]
    learnt: list[str]
    study: tuple[Path, dict[str, Any]] | None
    varied: list[tuple[Path, dict[str, Any]]]

    @property
    def finished(self) -> bool:
        """Whether there is a run to show."""
        return self.gathered.shown is not None


def by_source(
    experiments: Iterable[Experiment],
    runs: Path,
    *,
    chosen: Callable[[Gathered], Gathered] = lambda gathered: gathered,
    paths: bool = True,
) -> list[tuple[Source, list[Content]]]:
    """The content of every experiment, by source document; of each set of the user's own images.

    Args:
        chosen: leaves runs out.
        paths: whether a message about a run that can't be read names its folder.
    """
    items = [
        _content((anchor, name), experiment, part, runs, paths)
        for experiment in experiments
        for anchor, name, part in _parts(experiment, chosen(gathering.gather(runs, experiment.name)))
    ]
    items.sort(key=lambda item: item.experiment.source)
    grouped = groupby(items, key=lambda item: item.experiment.source)
    return [(sources.of(number), list(members)) for number, members in grouped]


def _parts(experiment: Experiment, gathered: Gathered) -> list[tuple[str, str, Gathered]]:
    """Anchor, name and runs of each set of the user's own images; of the experiment, where it has no such."""
    if experiment.source != sources.OWN or not gathered.groups:
        return [(experiment.name, experiment.name, gathered)]
    names: dict[str, list[Group]] = {}
    for group in gathered.groups:
        names.setdefault(_images(group) or experiment.name, []).append(group)
    return [
        (
            experiment.name if place == 0 else f"{experiment.name}-{place + 1}",
            name,
            Gathered(tuple(groups), gathered.troubles if place == 0 else ()),
        )
        for place, (name, groups) in enumerate(names.items())
    ]


def _images(group: Group) -> str:
    """What a user calls the images of a run."""
    given = Options(**group.latest.config.get("options", {}))
    return given.name or Path(given.data or "").name


def _content(
    names: tuple[str, str], experiment: Experiment, gathered: Gathered, runs: Path, paths: bool
) -> Content:
    run = gathered.shown

    def adapted(text: str) -> str:
        if run is None:
            return text
        labels = next(iter(run.networks.values()))["labels"]
        return description.adapted(text, experiment.phrases, run.config, labels)

    changes = filter(None, [experiment.settings.sentence(run.config.get("settings", {}))] if run else [])
    return Content(
        *names,
        experiment,
        gathered,
        sources.QUESTIONS.get(experiment.name, ""),
        adapted(experiment.title),
        " ".join([adapted(experiment.task), *changes]),
        _warnings(run) if run else [],
        _learnt(experiment, run, runs, paths) if run else [],
        study.read(runs, experiment.name),
        vary.read(runs, experiment.name),
    )


def _warnings(run: FinishedRun) -> list[str]:
    return description.doubts(run.config) + [
        f"{name}: {warning}"
        for name, network in run.trained.items()
        for warning in evidence.warnings(network)
    ]


def _learnt(experiment: Experiment, run: FinishedRun, runs: Path, paths: bool) -> list[str]:
    try:
        return experiment.explain(Findings(run, runs))
    except RunDamagedError as error:  # of a run that this one is compared with
        reason = str(error) if paths else "a run that this one is compared with can't be read."
        return [f"What was learnt can't be said: {reason}"]
