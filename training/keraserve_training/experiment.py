"""`Experiment` and what it consists of: figures, servables, a study.

An experiment is one file in `experiments/` with one function that returns an `Experiment`, and the function
that it names as `run`, which reads from top to bottom. Such a file imports keras inside its functions: the
command `list` imports all of them and must not wait seconds for TensorFlow.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, Literal

from keraserve_training.errors import OptionError
from keraserve_training.number_format import Unit
from keraserve_training.options import Options, flag
from keraserve_training.records.findings import Findings
from keraserve_training.settings import Settings

if TYPE_CHECKING:
    from keraserve_training.run import Run


@dataclass(frozen=True)
class Figure:
    """One number that an experiment measures. Which values to expect is in `expected_ranges`, from full runs.

    Attributes:
        metric: its key in `metrics.json`.
        title: what it is, for a table.
        source: what the source document reports, in its words or as its number.
        unit: how to write it.
    """

    metric: str
    title: str
    source: str
    unit: Unit = "share"

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest value that it can have."""
        if self.unit == "points":
            return -1.0, 1.0
        return 0.0, 1.0 if self.unit == "share" else math.inf


@dataclass(frozen=True)
class Servable:
    """One model of a run that is exported.

    Attributes:
        name: its folder in the model repository, `[a-z0-9][a-z0-9-]{0,62}`; a run with options adds them.
        model: the name under which the run trained it.
        description: one sentence for the model card.
    """

    name: str
    model: str
    description: str


@dataclass(frozen=True)
class Comparison:
    """Two networks of one piece of a study, which differ in nothing but what the study is about.

    Attributes:
        title: what is the same for both; empty where a study makes a single comparison.
        gain: the metric that is averaged: the difference of the two.
        compared: the metrics of both: with, without.
    """

    title: str
    gain: str
    compared: tuple[str, str]


@dataclass(frozen=True)
class Study:
    """A question that many small runs are needed for.

    A piece is one (variant, seed) and is a run of its own, so it can be interrupted and continued, and pieces
    can be spread over processes or machines.

    Attributes:
        title: the question.
        variants: what is varied besides the seed, as the command line writes it; the default ones.
        meaning: a variant in words. Raises UnknownVariantError where there is no such variant.
        settings: those of one variant that differ, in JSON's types.
        comparisons: what each piece compares, the most important one first.
        explanation: what a piece does and what stays the same, for the report.
        subject: of which the gain is measured.
    """

    title: str
    variants: tuple[str, ...]
    meaning: Callable[[str], str]
    settings: Callable[[str], Mapping[str, Any]]
    comparisons: tuple[Comparison, ...]
    explanation: str
    subject: str = "reuse"


@dataclass(frozen=True)
class Experiment:
    """One system of a source document.

    Attributes:
        name: what the command line calls it.
        source: number of the source document, as the list of experiments has it.
        title: one line.
        task: what is learnt from what, in a sentence or two.
        data: name of the data set.
        weights: the pre-trained weights it starts from, or that there are none.
        figures: its results; the first represents the experiment in a list.
        run: does it.
        servables: what is exported.
        learnt: what the numbers show, one sentence or more per item.
        takes: the options that a user may give, names of `Options`.
        settings: what a user may change of it; `run` gets them too, where there are any.
        parameters: of its (main) network, as the source document builds it.
        minutes: that a run of the profile `full` was measured to take on two processor cores; None: none was.
        study: a question for many small runs, where the source document asks one.
        phrases: words of its texts that are wrong for a run with another network or other images.
    """

    name: str
    source: str
    title: str
    task: str
    data: str
    weights: str
    figures: tuple[Figure, ...]
    run: "Callable[Concatenate[Run, ...], None]"
    servables: tuple[Servable, ...]
    learnt: Callable[[Findings], list[str]]
    parameters: int
    minutes: float | None = None
    takes: tuple[str, ...] = ()
    settings: type[Settings] = Settings
    study: Study | None = None
    phrases: Mapping[str, Literal["network", "size", "data", "classes"]] = field(default_factory=dict)

    def check(self, options: Options, given: Mapping[str, Any]) -> None:
        """Raise OptionError if it does not take an option, or a setting has no effect without one."""
        options.check(self.name, self.takes)
        declared = self.settings.declared()
        for name in given:
            needed = declared[name].option
            if needed and not getattr(options, needed):
                raise OptionError(f"{name} has no effect without {flag(needed)}.")

    def do(self, run: "Run", given: Mapping[str, Any] = MappingProxyType({})) -> None:
        """Do it with these settings. Epochs that are given are not limited by the run's profile."""
        declared = self.settings.declared()
        settings = self.settings.of(given, run.profile.epochs)
        if any(declared[name].epochs for name in given):
            run.profile = replace(run.profile, max_epochs=None)
        self.run(run, *([settings] if declared else []))

    def explain(self, findings: Findings) -> list[str]:
        """What `learnt` says; or that a run of an older version of this package lacks a figure."""
        try:
            return self.learnt(findings)
        except KeyError as error:
            return [f"An older version made this run: it lacks {error}. Run it again with --force."]
