"""The plot of a confusion matrix."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.ticker import PercentFormatter

from keraserve_training.drawing import page as drawing

NUMBERED = 20
"""Up to so many classes, every cell has its number; above, only a colour."""
_NAMES = 26  # at most so many classes are named


def confusion(path: Path, name: str, matrix: npt.NDArray[np.int64], labels: Sequence[str]) -> None:
    """Test images by true and predicted class, coloured by the share of the true class.

    Args:
        matrix: counts [K, K], true class by predicted class.
        labels: the name of each class; of more than 26, only some are written.
    """
    count = len(labels)
    numbered = count <= NUMBERED
    letters = min(0.075 * max(map(len, labels)), 1.6)
    cells = max(2.2, min(0.56 * count, 8.4)) if numbered else 6.6
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    title = f"{name}: {matrix.sum():,} test images" + ("" if numbered else f", {count} classes")
    with drawing.page(path, cells + letters + 1.7, cells + 0.7 * letters + 0.9) as figure:
        axis = figure.subplots()
        axis.grid(visible=False)
        # Without numbers, the square root makes small shares visible.
        norm = PowerNorm(1.0 if numbered else 0.5, vmin=0, vmax=1)
        image = axis.imshow(shares, cmap="Blues", norm=norm)
        if numbered:
            _numbers(axis, matrix, shares)
        _ticks(axis, labels)
        axis.set_title(drawing.fill(title, cells + letters + 0.4))
        bar = figure.colorbar(image, ax=axis, shrink=0.8)
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
        bar.set_label("share of the true class")


def _numbers(axis: Axes, matrix: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]) -> None:
    size = 9 if matrix.max() < 10_000 and len(matrix) < 12 else 7
    for (true, predicted), count in np.ndenumerate(matrix):
        share = shares[true, predicted]
        colour = "white" if share > 0.55 else "black" if count else "#b5b5b5"
        weight = "bold" if true == predicted else "normal"
        look: dict[str, Any] = {"color": colour, "fontsize": size, "weight": weight}
        axis.text(predicted, true, f"{count:,}", ha="center", va="center", **look)


def _ticks(axis: Axes, labels: Sequence[str]) -> None:
    step = -(-len(labels) // _NAMES)
    places = range(0, len(labels), step)
    names = [drawing.short(labels[place]) for place in places]
    size = 10 if len(labels) <= NUMBERED else 8
    axis.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    axis.set_yticks(places, names, fontsize=size)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class" + (f" (every {step}th is named)" if step > 1 else ""))
