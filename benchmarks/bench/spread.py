"""Values of several rounds: median, lowest, highest, percentiles and ratios. Only numbers in here."""

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
        """Make it of at least one figure."""
        return cls(median(figures), min(figures), max(figures))

    def text(self, digits: int = 0) -> str:
        """Write `middle (lowest to highest)`; one figure alone has no spread."""
        middle, lowest, highest = (
            f"{figure:,.{digits}f}" for figure in (self.middle, self.lowest, self.highest)
        )
        return middle if lowest == highest else f"{middle} ({lowest} to {highest})"


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the least value that at least so many percent of the values do not exceed; NaN of none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Give the middle one of the ratios within each round: what disturbs a round meets both."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))
