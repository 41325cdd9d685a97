"""Plots over the values of a setting: a figure with its intervals, and a loss while the rate rises."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.ticker import FuncFormatter

from keraserve_training import number_format
from keraserve_training.drawing import page as drawing
from keraserve_training.drawing.page import BLUE, GREEN, GREY, ORANGE
from keraserve_training.number_format import Unit

_DECADE = 10  # numbers whose largest is at least so many times the smallest get a logarithmic axis


def by_value(
    path: Path,
    title: str,
    measured: Mapping[str, Sequence[float]],
    intervals: Mapping[str, tuple[float, float, float]],
    *,
    numbers: Sequence[float] | None,
    setting: str,
    unit: Unit,
) -> None:
    """A point for each seed, and mean with interval for each value.

    Args:
        measured: the figure of every seed, by the value as it is written.
        intervals: mean, lower and upper end (NaN: none) of every value.
        numbers: the values, where they are numbers; None: they are names.
        setting: what is varied, under the axis.
        unit: of the figure.
    """
    log = numbers is not None and min(numbers) > 0 and max(numbers) >= _DECADE * min(numbers)
    places = list(range(len(measured))) if numbers is None else numbers
    shown = [math.log10(each) for each in places] if log else [float(each) for each in places]
    step = min(np.diff(sorted(shown))) if len(shown) > 1 else 1.0
    with drawing.page(path, 7.2, 4.2, title=title) as figure:
        axis = figure.subplots()
        for place, (name, values) in zip(shown, measured.items(), strict=True):
            beside = place + step * np.linspace(0.06, 0.16, len(values))
            axis.plot(beside, values, "o", color=BLUE, alpha=0.6, markersize=4)
            mean, low, high = intervals[name]
            if math.isfinite(low):
                axis.plot([place, place], [low, high], "-", color=GREEN, linewidth=4)
            axis.plot([place], [mean], "D", color=GREEN, markerfacecolor="white", markersize=7)
        if numbers is not None:
            means = [intervals[name][0] for name in measured]
            axis.plot(shown, means, "-", color=GREEN, linewidth=1, zorder=0)
        axis.set_xticks(shown, list(measured))
        axis.set_xlim(min(shown) - step / 2, max(shown) + step / 2)
        axis.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: number_format.value(value, unit).replace(".00 %", " %"))
        )
        axis.set_xlabel(f"{setting} (logarithmic)" if log else setting)
        axis.plot([], [], "o", color=BLUE, alpha=0.6, markersize=4, label="one seed")
        axis.plot([], [], "-D", color=GREEN, markerfacecolor="white", label="mean and 95 % interval")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)


def rate_test(
    path: Path,
    title: str,
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    marks: Mapping[str, float],
) -> None:
    """The loss of each step over its learning rate, as it was and smoothed; `marks` are rates by name."""
    with drawing.page(path, 7.2, 4.2, title=title) as figure:
        axis = figure.subplots()
        axis.plot(rates, losses, "-", color=GREY, alpha=0.5, linewidth=1, label="loss of a step")
        axis.plot(rates, smoothed, "-", color=BLUE, linewidth=2, label="smoothed")
        for (name, rate), (colour, style) in zip(
            marks.items(), ((GREEN, "-"), (ORANGE, "--"), (GREY, ":")), strict=False
        ):
            axis.axvline(rate, color=colour, linestyle=style, linewidth=1.5, label=f"{name}: {rate:.1e}")
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
        low, high = min(smoothed), max(smoothed[: max(1, len(smoothed) // 2)])
        axis.set_ylim(low - 0.15 * (high - low), high + 0.6 * (high - low))
        axis.set_xlabel("learning rate, which rises with each step (logarithmic)")
        axis.set_ylabel("training loss")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
