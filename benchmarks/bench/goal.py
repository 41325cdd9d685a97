"""What a goal is: a value of a run and where it shall lie. Most are ratios, so the machine matters little."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.results import Figure, Results
from bench.spread import Spread, ratio

Measured = Callable[[Results], float | None]
"""Gives a value of a run; None where nothing was measured."""


@dataclass(frozen=True)
class Wanted:
    """Where a value shall lie.

    Attributes:
        bound: the least or the greatest that is good.
        is_least: which of both.
    """

    bound: float
    is_least: bool

    def text(self) -> str:
        """Write it, without the unit."""
        return f"{'at least' if self.is_least else 'at most'} {self.bound:g}"

    def holds(self, value: float) -> bool:
        """Whether a value lies there."""
        return value >= self.bound if self.is_least else value <= self.bound


def at_least(bound: float) -> Wanted:
    """Values from this bound on."""
    return Wanted(bound, is_least=True)


def at_most(bound: float) -> Wanted:
    """Values up to this bound."""
    return Wanted(bound, is_least=False)


@dataclass(frozen=True)
class Goal:
    """A value and where it shall lie.

    Attributes:
        name: what it is, for readers.
        wanted: where it shall lie.
        measured: gives the value that a run has found.
        unit: "" for a ratio.
    """

    name: str
    wanted: Wanted
    measured: Measured
    unit: str = ""

    def reached(self, results: Results) -> bool | None:
        """Whether it lies there; None where nothing was measured."""
        value = self.measured(results)
        return None if value is None else self.wanted.holds(value)


def median_goal(name: str, wanted: Wanted, figure: Figure) -> Goal:
    """Make a goal of a figure's median."""

    def measured(results: Results) -> float | None:
        values = results.values(figure)
        return Spread.of(values).middle if values else None

    return Goal(name, wanted, measured, figure.unit)


def ratio_goal(name: str, wanted: Wanted, figure: Figure, to: Figure) -> Goal:
    """Make a goal of the ratio of a figure to another one."""

    def measured(results: Results) -> float | None:
        one, other = results.values(figure), results.values(to)
        return ratio(one, other) if one and other else None

    return Goal(name, wanted, measured)
