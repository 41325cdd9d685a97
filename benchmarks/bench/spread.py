"""Medians, ranges, percentiles and ratios of the values of several rounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """The median of the values of several rounds, and the lowest and highest."""

    middle: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Spread":
        """The spread of at least one value."""
        return cls(median(figures), min(figures), max(figures))

    def text(self, digits: int = 0) -> str:
        """`median (lowest to highest)`; only the median if all values are written alike."""
        middle, lowest, highest = (
            f"{figure:,.{digits}f}" for figure in (self.middle, self.lowest, self.highest)
        )
        return middle if lowest == highest else f"{middle} ({lowest} to {highest})"


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the least value that so many percent of the values do not exceed; NaN for no values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the rounds' ratios, in which a disturbance of a round affects both sides."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))
