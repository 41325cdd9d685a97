"""`Context`: the models, timing and results that every scenario uses."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.load import run
from bench.load.specification import LoadResult, LoadSpecification
from bench.processes import Started
from bench.results import Results
from bench.workspace import Workspace


@dataclass(frozen=True)
class Timing:
    """How many rounds, and how many seconds a load lasts."""

    rounds: int
    warm_up: float
    seconds: float


@dataclass(frozen=True)
class Context:
    """The models, timing and results that every scenario uses.

    Attributes:
        workspace: models and request bodies.
        timing: how long each load lasts.
        results: the figures so far.
        tell: prints a line of progress.
    """

    workspace: Workspace
    timing: Timing
    results: Results
    tell: Callable[[str], None]

    def load(self, specification: LoadSpecification) -> LoadResult:
        """Send this load, for as long as the timing says."""
        timing = self.timing
        return run.run(replace(specification, warm_up=timing.warm_up, seconds=timing.seconds))

    def watched_load(self, running: Started, specification: LoadSpecification) -> tuple[LoadResult, float]:
        """Send this load; returns also the seconds of processor time that the system took meanwhile."""
        before = running.processor_seconds()
        one = self.load(specification)
        spent = running.processor_seconds() - before
        return one, spent * one.seconds / (one.seconds + self.timing.warm_up)
