"""Student's t interval of a mean, without scipy.

The distribution function for whole degrees of freedom is the finite sum of Abramowitz and Stegun, Handbook of
Mathematical Functions, 26.7.3 and 26.7.4; its inverse is found by halving.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Interval:
    """A mean with its two-sided interval, 95 % unless told otherwise; the ends are NaN for a single value."""

    mean: float
    low: float
    high: float
    count: int

    def within(self, low: float, high: float) -> "Interval":
        """The same with ends that the mean can have: an accuracy from 0 to 1, a gain from -1 to 1."""
        if self.count == 1:
            return self
        return replace(self, low=max(low, self.low), high=min(high, self.high))


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean ± t((1 + level) / 2, n-1) · s / √n, with s² = Σ(x - mean)² / (n - 1)."""
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, math.nan, math.nan, 1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = t_quantile((1 + level) / 2, count - 1) * deviation / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def t_quantile(probability: float, freedom: int) -> float:
    """The value that a t-distributed variable stays below with `probability` (above one half)."""
    low, high = 0.0, 1.0
    while _below(high, freedom) < probability:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _below(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def _below(t: float, freedom: int) -> float:
    """The probability of values below t, t >= 0."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    term, total = 1.0, 1.0
    if freedom % 2:  # 26.7.3
        for k in range(1, (freedom - 1) // 2):
            term *= cosine**2 * 2 * k / (2 * k + 1)
            total += term
        within = (angle + (sine * cosine * total if freedom > 1 else 0.0)) * 2 / math.pi
    else:  # 26.7.4
        for k in range(1, freedom // 2):
            term *= cosine**2 * (2 * k - 1) / (2 * k)
            total += term
        within = sine * total
    return (1 + within) / 2
