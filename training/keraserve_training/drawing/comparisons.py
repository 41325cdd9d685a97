"""Plots that compare one number of several networks: accuracies, and gains with their intervals."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import PercentFormatter

from keraserve_protocol.evaluation import wilson
from keraserve_training.drawing import page as drawing
from keraserve_training.drawing.page import BLUE, GREEN, GREY
from keraserve_training.number_format import percent, points

_SEED: dict[str, Any] = {"color": BLUE, "alpha": 0.6, "markersize": 4}


def accuracies(path: Path, title: str, values: Mapping[str, float], *, images: int, baseline: str) -> None:
    """A point for each test accuracy with its 95 % interval, and how far it is from the baseline.

    The axis does not begin at 0, so that differences can be seen.

    Args:
        values: from 0 to 1, by name (of a placement, an optimizer), in the order to draw them.
        images: how many test images each is of.
        baseline: the one that the others are compared with: grey, with a line through all.
    """
    with drawing.page(path, 7.6, 1.3 + 0.42 * len(values), title=title) as figure:
        axis = figure.subplots()
        axis.axvline(values[baseline], color=GREY, linestyle="--", linewidth=1)
        for place, (name, value) in enumerate(values.items()):
            colour, text = GREY, percent(value)
            if name != baseline:
                colour, text = BLUE, f"{text} ({points(value - values[baseline])})"
            axis.plot(wilson(round(value * images), images), [place] * 2, color=colour, linewidth=3)
            axis.plot([value], [place], "o", color=colour, markeredgecolor="white", markersize=8)
            axis.text(1.02, place, text, transform=axis.get_yaxis_transform(), va="center")
        names = [f"{name} (baseline)" if name == baseline else name for name in values]
        axis.set_yticks(range(len(values)), [drawing.fill(name, 2.4) for name in names])
        axis.set_ylim(len(values) - 0.4, -0.6)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axis.set_xlabel(f"test accuracy, and its 95 % interval for the choice of {images:,} test images")


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
