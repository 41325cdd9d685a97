"""Write the name of each line of a plot at the line's end, none on top of another."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

_LINE_OF_TEXT = 0.2  # inches


def write(axis: Axes, ends: Mapping[str, tuple[float, float]], looks: Sequence[Mapping[str, Any]]) -> None:
    """Write each name right of the plot, at the height of its line's end or as near as the others allow.

    Args:
        axis: everything else is drawn on it already; its limits stay as they are.
        ends: the last point of each line; its second number may be infinite or NaN.
        looks: `color` and `linestyle` of each line.
    """
    bottom, top = axis.get_ylim()
    axis.set_ylim(bottom, top)
    to_axes = axis.transData + axis.transAxes.inverted()
    reached = [(epoch, value if math.isfinite(value) else bottom) for epoch, value in ends.values()]
    points = [tuple(float(part) for part in to_axes.transform(end)) for end in reached]
    height = axis.get_position().height * axis.figure.get_figheight()  # pyright: ignore
    heights = spread([across for _, across in points], gap=_LINE_OF_TEXT / max(height, 0.5))
    for (name, end), (start, level), place, look in zip(ends.items(), points, heights, looks, strict=True):
        line = {"color": look["color"], "linestyle": look["linestyle"], "linewidth": 0.8}
        axis.plot([start, 1.03], [level, place], transform=axis.transAxes, clip_on=False, **line)
        said = name if math.isfinite(end[1]) else f"{name} (no number)"
        axis.text(1.04, place, said, transform=axis.transAxes, va="center", color=look["color"], fontsize=9)


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move places (0 to 1) apart to at least `gap`, or less if not all fit, in their order, within 0 to 1."""
    last = len(places) - 1
    gap = min(gap, 1.0 / max(last, 1))
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = [0.0] * len(places)
    # The mean of two solutions: one from below, which moves places only up, one from above, only down.
    low, high = 0.0, 1.0
    for rank, (lower, upper) in enumerate(zip(order, reversed(order), strict=True)):
        low = max(low, min(places[lower], 1.0 - gap * (last - rank)))
        high = min(high, max(places[upper], gap * (last - rank)))
        moved[lower] += low / 2
        moved[upper] += high / 2
        low, high = low + gap, high - gap
    return moved
