"""The pictures of a run and of a study. PNG, white ground, readable at the width of a page."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from keraserve_training import atomic

mpl.use("Agg")

_TRAIN, _VALIDATION, _GREY, _GAIN = "#1f77b4", "#d95f02", "#777777", "#117a65"
_SEED: dict[str, Any] = {"color": _TRAIN, "alpha": 0.6, "markersize": 4}
_DPI = 130
_PLAIN: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
}


def curves(path: Path, histories: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Loss and accuracy over the epochs, a column for each network; a dashed line where a phase begins."""
    with mpl.rc_context(_PLAIN):
        figure = Figure(figsize=(1 + 3.4 * len(histories), 5.6), layout="constrained")
        axes = figure.subplots(2, len(histories), squeeze=False, sharex="col")
        for column, (name, rows) in enumerate(histories.items()):
            _curve(axes[0, column], rows, "loss")
            _curve(axes[1, column], rows, "accuracy")
            axes[0, column].set_title(name)
            axes[1, column].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes[1, column].set_xlabel("epoch")
            axes[1, column].xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0, 0].set_ylabel("loss (cross-entropy, nats)")
        axes[1, 0].set_ylabel("accuracy")
        lines, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=len(names), frameon=False)
        _save(figure, path)


def _curve(axis: Axes, rows: Sequence[Mapping[str, Any]], quantity: str) -> None:
    epochs = [row["epoch"] for row in rows]
    trained, validated = [row[quantity] for row in rows], [row[f"val_{quantity}"] for row in rows]
    axis.plot(epochs, trained, ".-", color=_TRAIN, label="training (mean over the epoch)")
    axis.plot(epochs, validated, ".-", color=_VALIDATION, label="validation (at its end)")
    for before, row in itertools.pairwise(rows):
        if before["phase"] != row["phase"]:
            axis.axvline(row["epoch"] - 0.5, color=_GREY, linestyle="--", linewidth=1)
            if quantity == "loss":
                axis.annotate(
                    f" {row['phase']}",
                    (row["epoch"] - 0.5, 1),
                    xycoords=("data", "axes fraction"),
                    va="top",
                    color=_GREY,
                    fontsize=9,
                )


def confusion(path: Path, name: str, matrix: npt.NDArray[np.int64], labels: Sequence[str]) -> None:
    """Counts of test pictures by true and predicted class, coloured by the share of the true class."""
    size = max(3.6, 1.8 + 0.62 * len(labels))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(size + 0.9, size), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (true, predicted), count in np.ndenumerate(matrix):
        colour = "white" if shares[true, predicted] > 0.55 else "black"
        axis.text(predicted, true, f"{count:,}", ha="center", va="center", color=colour, fontsize=9)
    axis.set_xticks(range(len(labels)), labels, rotation=40, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    axis.set_title(f"{name}: {matrix.sum():,} test pictures")
    bar = figure.colorbar(image, ax=axis, shrink=0.8)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    bar.set_label("share of the true class")
    _save(figure, path)


def gains(
    path: Path,
    title: str,
    groups: Mapping[str, Sequence[float]],
    intervals: Mapping[str, tuple[float, float, float]],
) -> None:
    """A point for each seed, and mean with interval for each group; gains in percentage points.

    Args:
        path: the file.
        title: above the picture.
        groups: the gains (parts of one) of every group, in the order to draw them.
        intervals: mean, lower and upper end (parts of one) of every group.
    """
    with mpl.rc_context(_PLAIN):
        figure = Figure(figsize=(7.2, 1.6 + 0.75 * len(groups)), layout="constrained")
        axis = figure.subplots()
        for place, (name, values) in enumerate(groups.items()):
            spread = np.linspace(0.12, 0.3, len(values)) if len(values) > 1 else [0.2]
            axis.plot(100 * np.asarray(values), place + np.asarray(spread), "o", **_SEED)
            mean, low, high = (100 * value for value in intervals[name])
            if math.isfinite(low):
                axis.plot([low, high], [place - 0.08] * 2, "-", color=_GAIN, linewidth=4)
            axis.plot([mean], [place - 0.08], "D", color=_GAIN, markerfacecolor="white", markersize=7)
        axis.axvline(0, color=_GREY, linewidth=1)
        axis.set_yticks(range(len(groups)), list(groups))
        axis.set_ylim(len(groups) - 0.45, -0.45)
        axis.set_xlabel("gain of reuse in test accuracy (percentage points; right of 0: reuse helps)")
        axis.set_title(title)
        axis.plot([], [], "o", label="one seed", **_SEED)
        axis.plot([], [], "-D", color=_GAIN, markerfacecolor="white", label="mean and 95 % interval")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    atomic.write_with(path, lambda part: figure.savefig(part, dpi=_DPI, format="png"))
