"""What serving here is to cost at most: ratios within one run, so that the machine matters little."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Spread, ratio
from bench.results import Load, Results


@dataclass(frozen=True)
class Goal:
    """One figure and where it shall lie.

    Attributes:
        what: in words.
        bound: the least or the greatest that is good.
        at_least: which of both.
        value: what was found; None: not measured.
        unit: "" for a ratio.
    """

    what: str
    bound: float
    at_least: bool
    value: float | None
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether it lies there; None where nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def goals(results: Results) -> list[Goal]:
    """All of them, with what a run has found."""

    def loads(
        ours: str, theirs: str, clients: int, figure: Callable[[Load], Sequence[float]]
    ) -> float | None:
        one, other = results.load(ours, clients), results.load(theirs, clients)
        return ratio(figure(one), figure(other)) if one and other else None

    def of_limit(door: str) -> float | None:
        found, limit = results.load(door, 32), results.limit.get("32")
        return ratio(found.rates, limit) if found and limit else None

    def facts(one: str, other: str) -> float | None:
        if one not in results.facts or other not in results.facts:
            return None
        return ratio(results.facts[one], results.facts[other])

    def fact(name: str) -> float | None:
        found = results.facts.get(name)
        return Spread.of(found).middle if found else None

    return [
        Goal(
            "one process, 1 client: images/s, of good FastAPI's",
            1.1,
            True,
            loads("in-process", "good-fastapi", 1, lambda load: load.rates),
        ),
        Goal(
            "one process, 32 clients: images/s, of LitServe's",
            2,
            True,
            loads("in-process", "litserve", 32, lambda load: load.rates),
        ),
        Goal(
            "the same: p99, of LitServe's",
            0.7,
            False,
            loads("in-process", "litserve", 32, lambda load: load.p99),
        ),
        Goal("the same: images/s, of the limit", 0.6, True, of_limit("in-process")),
        Goal(
            "two processes, 32 clients: images/s, of LitServe's",
            1.3,
            True,
            loads("two-processes", "litserve", 32, lambda load: load.rates),
        ),
        Goal(
            "two processes, 1 client: p50, of good FastAPI's",
            1.5,
            False,
            loads("two-processes", "good-fastapi", 1, lambda load: load.p50),
        ),
        Goal("gRPC to the embedded server, 32 clients: images/s, of the limit", 0.45, True, of_limit("grpc")),
        Goal(
            "four times overload: p99 of what is accepted, of that at saturation",
            3,
            False,
            facts("overload: p99 of what is accepted, ms", "overload: p99 at saturation, ms"),
        ),
        Goal(
            "the same: goodput, of the peak",
            0.9,
            True,
            facts("overload: goodput, images/s", "overload: peak, images/s"),
        ),
        Goal("gateway alone: idle memory (PSS)", 100, False, fact("gateway alone: idle, MB"), "MB"),
        Goal("gateway alone: cold start to ready", 1.5, False, fact("gateway alone: start to ready, s"), "s"),
        Goal(
            "gateway alone: processor time of a picture",
            0.5,
            False,
            fact("gateway alone: processor time of a picture, ms"),
            "ms",
        ),
        Goal(
            "embedded, cold start to first answer, of import and load",
            1.2,
            False,
            facts("cold start: first answer, s", "cold start: import and load, s"),
        ),
        Goal(
            "224x224x3 as JSON: images/s, of the tutorials'",
            10,
            True,
            facts("lists: ours, images/s", "lists: the tutorials', images/s"),
        ),
        Goal(
            "other requests meanwhile: p99, of that without",
            2,
            False,
            facts("lists: p99 of others meanwhile, ms", "lists: p99 of others without, ms"),
        ),
        Goal(
            "28x28 as JSON rows: time, of the picture route's",
            1.2,
            False,
            facts("28 px: PNG, images/s", "28 px: JSON rows, images/s"),
        ),
        Goal(
            "client, 1,000 pictures by `classify_many`: images/s, of the load generator's",
            0.9,
            True,
            facts("classify_many: images/s", "classify_many: the load generator's, images/s"),
        ),
    ]
