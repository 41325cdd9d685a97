"""Plots that compare one number of several networks: bars, and gains with their intervals."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import PercentFormatter

from keraserve_training import number_format
from keraserve_training.drawing import page as drawing
from keraserve_training.drawing.page import BLUE, GREEN, GREY, ORANGE
from keraserve_training.number_format import Unit

# Around numbers, which the baseline's line may cross.
_HALO: list[AbstractPathEffect] = [withStroke(linewidth=4, foreground="white")]
_SEED: dict[str, Any] = {"color": BLUE, "alpha": 0.6, "markersize": 4}


def bars(
    path: Path,
    title: str,
    values: Mapping[str, float],
    *,
    baseline: str | None = None,
    unit: Unit = "share",
    quantity: str = "test accuracy",
) -> None:
    """A bar for each value from 0, its number at the end, and how far it is from the baseline.

    Args:
        values: by name (of a placement, an optimizer), in the order to draw them.
        baseline: the one that the others are compared with: grey, with a line through all.
        unit: of the values; shares are written in percent, their differences in points.
        quantity: what the values are, under the axis.
    """
    with drawing.page(path, 7.6, 1.3 + 0.42 * len(values), title=title) as figure:
        axis = figure.subplots()
        finite = {name: value if math.isfinite(value) else 0.0 for name, value in values.items()}
        colours = [GREY if name == baseline else BLUE for name in values]
        axis.barh(range(len(values)), list(finite.values()), color=colours, height=0.68)
        start = values.get(baseline) if baseline else None
        if start is not None and math.isfinite(start):
            axis.axvline(start, color=ORANGE, linestyle="--", linewidth=1)
        for place, (name, value) in enumerate(values.items()):
            text = number_format.value(value, unit)
            if start is not None and name != baseline:
                text += f" ({_beside(value, start, unit)})"
            side = "right" if finite[name] < 0 else "left"
            label = axis.text(finite[name], place, f"  {text}  ", ha=side, va="center", fontsize=9)
            label.set_path_effects(_HALO)
        names = [f"{name} (baseline)" if name == baseline else name for name in values]
        axis.set_yticks(range(len(values)), [drawing.fill(name, 2.4) for name in names])
        axis.set_ylim(len(values) - 0.4, -0.6)
        _scale(axis, list(finite.values()), unit)
        axis.grid(visible=False, axis="y")
        axis.set_xlabel(quantity)


def _beside(value: float, baseline: float, unit: Unit) -> str:
    """A value compared with the baseline: the difference of shares and losses, else the ratio."""
    if unit in ("share", "points", "loss") or not baseline * value:
        return number_format.difference(value - baseline, unit)
    ratio = value / baseline
    return f"{ratio:.3g} times" if ratio >= 1 else f"1/{1 / ratio:.3g}"


def _scale(axis: Axes, values: Sequence[float], unit: Unit) -> None:
    """Leave space for the numbers at the ends of the bars."""
    low, high = min([0.0, *values]), max([0.0, *values])
    width = (high - low) or 1.0
    limits = low - (0.42 * width if low < 0 else 0), high + 0.42 * width
    axis.set_xlim(limits)
    axis.set_xticks([tick for tick in axis.get_xticks() if low <= tick <= high + 0.05 * width])
    axis.set_xlim(limits)  # setting the ticks has moved them
    if unit in ("share", "points"):
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if width > 0.05 else 1))


def gains(
    path: Path,
    title: str,
    groups: Mapping[str, Sequence[float]],
    intervals: Mapping[str, tuple[float, float, float]],
    *,
    of: str = "reuse",
) -> None:
    """A point for each seed, and mean with interval for each group; gains in percentage points.

    Args:
        groups: the gains (parts of one) of every group, in the order to draw them.
        intervals: mean, lower and upper end (parts of one) of every group.
        of: what the gain is due to, under the axis.
    """
    with drawing.page(path, 7.2, 1.6 + 0.75 * len(groups)) as figure:
        axis = figure.subplots()
        for place, (name, values) in enumerate(groups.items()):
            spread = np.linspace(0.12, 0.3, len(values)) if len(values) > 1 else [0.2]
            axis.plot(100 * np.asarray(values), place + np.asarray(spread), "o", **_SEED)
            mean, low, high = (100 * value for value in intervals[name])
            if math.isfinite(low):
                axis.plot([low, high], [place - 0.08] * 2, "-", color=GREEN, linewidth=4)
            axis.plot([mean], [place - 0.08], "D", color=GREEN, markerfacecolor="white", markersize=7)
        axis.axvline(0, color=GREY, linewidth=1)
        axis.set_yticks(range(len(groups)), list(groups))
        axis.set_ylim(len(groups) - 0.45, -0.45)
        axis.set_xlabel(f"gain of {of} in test accuracy (percentage points; right of 0: {of} helps)")
        axis.set_title(drawing.fill(title, 6))
        axis.plot([], [], "o", label="one seed", **_SEED)
        axis.plot([], [], "-D", color=GREEN, markerfacecolor="white", label="mean and 95 % interval")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
