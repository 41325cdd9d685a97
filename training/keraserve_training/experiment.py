"""What an experiment is.

An experiment is one file in `experiments/` with one function that returns an `Experiment`, and the function
that it names as `run`: a linear assembly, read top to bottom. Such a file imports keras inside its functions,
because `keraserve-train list` reads all of them and must not wait seconds for TensorFlow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Concatenate

if TYPE_CHECKING:
    from keraserve_training.run import Run

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Figure:
    """One number that an experiment gives, beside what its source document says of it.

    Attributes:
        metric: its key in `metrics.json`.
        title: what it is, for a table.
        source: what the source document reports, in its words or as its number.
        low: the lowest value that runs of profile `full` gave.
        high: the highest.
        runs: how many such runs.
    """

    metric: str
    title: str
    source: str
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class Servable:
    """One model of a run that is exported.

    Attributes:
        name: its folder in the model repository, `[a-z0-9][a-z0-9-]{0,62}`.
        model: the name under which the run trained it.
        description: one sentence for the model card.
    """

    name: str
    model: str
    description: str


@dataclass(frozen=True)
class Study:
    """A question that takes many small runs to answer.

    A piece is one (variant, seed) and is a run of its own, so it can be interrupted and continued, and pieces
    can be spread over processes or machines.

    Attributes:
        title: the question.
        variants: what is varied beside the seed, as people write it; those taken by default.
        meaning: says in words what a variant is. Raises UnknownVariantError for what is none.
        settings: makes the settings of `run` for one variant, as its keyword arguments (JSON's types).
        gain: the metric that is averaged.
        compared: the two metrics whose difference the gain is: with, without.
        explanation: what a piece does and what stays the same, for the report.
    """

    title: str
    variants: tuple[str, ...]
    meaning: Callable[[str], str]
    settings: Callable[[str], Mapping[str, Any]]
    gain: str
    compared: tuple[str, str]
    explanation: str


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
        minutes: what the profile `full` takes on two processor cores, without fetching data.
        figures: its results, each with the range to expect.
        run: does it; reads top to bottom.
        servables: what is exported.
        learnt: says in words what the numbers show, one sentence or more per item.
        study: a question that many small runs answer, where the source document asks one.
    """

    name: str
    source: str
    title: str
    task: str
    data: str
    weights: str
    minutes: float
    figures: tuple[Figure, ...]
    run: "Callable[Concatenate[Run, ...], None]"
    servables: tuple[Servable, ...]
    learnt: Callable[[Metrics], list[str]]
    study: Study | None = None

    def explain(self, metrics: Metrics) -> list[str]:
        """What was learnt; or that a run of an older version of this package lacks a figure."""
        try:
            return self.learnt(metrics)
        except KeyError as error:
            return [f"An older version made this run: it lacks {error}. Run it again with --force."]
