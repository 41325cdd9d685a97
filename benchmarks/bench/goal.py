"""Goals: a value of a run, mostly a ratio, and the bound that it has to keep."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.results import Figure, Results
from bench.spread import Spread, ratio

Measured = Callable[[Results], float | None]
"""Returns a value of a run; None if it was not measured."""


@dataclass(frozen=True)
class Wanted:
    """A bound, which is included.

    Attributes:
        bound: the least or the greatest value that reaches the goal.
        is_least: whether it is the least.
    """

    bound: float
    is_least: bool

    def text(self) -> str:
        """The bound in words, without the unit."""
        return f"{'at least' if self.is_least else 'at most'} {self.bound:g}"

    def holds(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return value >= self.bound if self.is_least else value <= self.bound


def at_least(bound: float) -> Wanted:
    """A least value."""
    return Wanted(bound, is_least=True)


def at_most(bound: float) -> Wanted:
    """A greatest value."""
    return Wanted(bound, is_least=False)


@dataclass(frozen=True)
class Goal:
    """A value and its bound.

    Attributes:
        name: what the value is, for readers.
        wanted: its bound.
        measured: returns a run's value.
        unit: "" for a ratio.
    """

    name: str
    wanted: Wanted
    measured: Measured
    unit: str = ""

    def reached(self, results: Results) -> bool | None:
        """Whether a run reached the goal; None if the value was not measured."""
        value = self.measured(results)
        return None if value is None else self.wanted.holds(value)


def median_goal(name: str, wanted: Wanted, figure: Figure) -> Goal:
    """A goal for a figure's median."""

    def measured(results: Results) -> float | None:
        values = results.values(figure)
        return Spread.of(values).middle if values else None

    return Goal(name, wanted, measured, figure.unit)


def ratio_goal(name: str, wanted: Wanted, figure: Figure, to: Figure) -> Goal:
    """A goal for the ratio of a figure to another one."""

    def measured(results: Results) -> float | None:
        one, other = results.values(figure), results.values(to)
        return ratio(one, other) if one and other else None

    return Goal(name, wanted, measured)
