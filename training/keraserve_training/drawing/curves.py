"""Plots of loss and accuracy over the epochs: of one run, and of all networks of a source document."""

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter, StrMethodFormatter

from keraserve_training.drawing import end_labels
from keraserve_training.drawing import page as drawing
from keraserve_training.drawing.page import BLUE, GREY, ORANGE

Rows = Sequence[Mapping[str, Any]]
Histories = Mapping[str, Rows]

_COLUMNS = 3
_CROSS_ENTROPY, _RECONSTRUCTION = "loss (cross-entropy)", "loss (reconstruction)"
# Six colours that people with any colour vision tell apart on white (after Okabe and Ito, darkened).
_COLOURS = ("#0062a0", "#c44e00", "#00805c", "#a0447c", "#8a6d00", "#333333")
_LOG_FROM = 20  # ratio of the largest to the smallest loss above which the axis is logarithmic


def curves(path: Path, histories: Histories, *, on: str = "validation") -> None:
    """Loss above accuracy over the epochs, for every network of a run; a dashed line where a phase begins.

    Args:
        histories: the rows of `history.csv` by network, in the order to draw them. A network without accuracy
            (an autoencoder) has only a loss, one without validation images only its training values.
        on: the images that the networks are tested on after every epoch: `validation`, or `test` if none are
            set aside.
    """
    columns = 2 if len(histories) == 4 else min(_COLUMNS, len(histories))
    plots = 1 + any(_has(rows, "accuracy") for rows in histories.values())
    high = plots * -(-len(histories) // columns)
    alone = len(histories) == 1
    size = (3.6 * plots, 3.4) if alone else (1 + 3.4 * columns, 0.6 + 2.45 * high)
    with drawing.page(path, *size) as figure:
        grid = figure.add_gridspec(1, plots) if alone else figure.add_gridspec(high, columns)
        for place, (name, rows) in enumerate(histories.items()):
            block, column = divmod(place, columns)
            cells = [grid[0, plot] if alone else grid[block * plots + plot, column] for plot in range(plots)]
            _network([figure.add_subplot(cell) for cell in cells], name, rows, on)
        _legend(figure)


def joined(histories: Histories, after: Mapping[str, str | None]) -> dict[str, Rows]:
    """The histories with that of each network that goes on with another's layers behind the other's.

    Args:
        histories: rows by network.
        after: for each network the one that it goes on with; None: it begins anew.
    """
    found = dict(histories)
    for name, before in after.items():
        if before in found:
            epochs = len(found[before])
            rows = [{**row, "epoch": row["epoch"] + epochs} for row in found.pop(name)]
            found[f"{before}, then {name}"] = [*found.pop(before), *rows]
    return found


def _network(axes: Sequence[Axes], name: str, rows: Rows, on: str) -> None:
    classifies = _has(rows, "accuracy")
    axes[0].set_title(drawing.fill(name, 3.4))
    _curve(axes[0], rows, "loss", on)
    axes[0].set_ylabel(_CROSS_ENTROPY if classifies else _RECONSTRUCTION)
    for axis in axes[1:]:
        if not classifies:
            axis.remove()
            continue
        _curve(axis, rows, "accuracy", on)
        axis.set_ylabel("accuracy")
        _percent(axis, [row[key] for row in rows for key in ("accuracy", "val_accuracy") if key in row])


def _curve(axis: Axes, rows: Rows, quantity: str, on: str) -> None:
    for key, colour, label in (
        (quantity, BLUE, "training (mean over the epoch)"),
        (f"val_{quantity}", ORANGE, f"{on} (at its end)"),
    ):
        if _has(rows, key):
            axis.plot(*_points(rows, key), ".-", color=colour, label=label)
    _epochs(axis, rows)
    for before, row in itertools.pairwise(rows):
        if before.get("phase") != row.get("phase"):
            axis.axvline(row["epoch"] - 0.5, color=GREY, linestyle="--", linewidth=1)
            if quantity == "loss":
                place: dict[str, Any] = {"va": "top", "transform": axis.get_xaxis_transform()}
                axis.text(row["epoch"] - 0.5, 1, f" {row['phase']}", color=GREY, fontsize=9, **place)


def _legend(figure: Figure) -> None:
    handles = {
        label: line
        for axis in figure.axes
        for line, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    if handles:
        look: dict[str, Any] = {"loc": "outside lower center", "ncols": len(handles), "frameon": False}
        figure.legend(list(handles.values()), list(handles), **look)


def all_curves(path: Path, title: str, histories: Histories, *, on: str = "validation") -> None:
    """Every network's accuracy and loss over the epochs: up to six in one plot, more in a small one each.

    In the one plot each line is named at its end, and autoencoders have a panel of their own, since their
    loss is another one. A small plot has one network's accuracy before all others', in grey; an autoencoder's
    loss.

    Args:
        histories: the rows of `history.csv` by the network's title; a network without validation images is
            drawn with its training values, and its title says so.
        on: as in `curves`.
    """
    classifying = {name: rows for name, rows in histories.items() if _has(rows, "accuracy")}
    reconstructing = {name: rows for name, rows in histories.items() if name not in classifying}
    if len(histories) > len(_COLOURS):
        _small_multiples(path, title, classifying, reconstructing, on)
        return
    panels = [("accuracy", classifying), ("loss", classifying), ("loss", reconstructing)]
    panels = [(quantity, networks) for quantity, networks in panels if networks]
    heights = [max(2.6, 1.1 + 0.27 * len(networks)) for _, networks in panels]
    looks = {name: _look(place) for place, name in enumerate(histories)}
    with drawing.page(path, 7.4, 0.5 + sum(heights), title=title) as figure:
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (quantity, networks) in zip(axes, panels, strict=True):
            _compared(axis, quantity, networks, looks)
            if quantity == "accuracy":
                axis.set_ylabel(f"{on} accuracy")
            else:
                axis.set_ylabel(f"{on} {_CROSS_ENTROPY if networks is classifying else _RECONSTRUCTION}")
        axes[-1].set_xlabel("epoch")


def _small_multiples(
    path: Path, title: str, classifying: Histories, reconstructing: Histories, on: str
) -> None:
    networks = {**classifying, **reconstructing}
    high = -(-len(networks) // _COLUMNS)
    with drawing.page(path, 8.4, 0.6 + 2.1 * high, title=f"{title}: {on} accuracy by epoch") as figure:
        axes = figure.subplots(high, _COLUMNS, squeeze=False).flat
        for axis, (name, rows) in zip(axes, networks.items(), strict=False):
            quantity = "accuracy" if name in classifying else "loss"
            others = classifying if name in classifying else reconstructing
            for other in others.values():
                axis.plot(*_validated(other, quantity), color=GREY, alpha=0.35, linewidth=0.8)
            epochs, values = _validated(rows, quantity)
            axis.plot(epochs, values, color=BLUE, linewidth=1.8)
            said = name if _has(rows, f"val_{quantity}") else f"{name} (training)"
            axis.set_title(drawing.fill(said if quantity == "accuracy" else f"{said}: loss", 2.4), fontsize=9)
            axis.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
            _numbers(
                axis, quantity, [value for each in others.values() for value in _validated(each, quantity)[1]]
            )
            if math.isfinite(values[-1]):
                last = f"{100 * values[-1]:.1f} %" if quantity == "accuracy" else f"{values[-1]:.3g}"
                place: dict[str, Any] = {"xytext": (0, 4), "textcoords": "offset points", "ha": "right"}
                axis.annotate(last, (epochs[-1], values[-1]), color=BLUE, fontsize=9, weight="bold", **place)
        for axis in list(axes)[len(networks) :]:
            axis.remove()


def _compared(axis: Axes, quantity: str, networks: Histories, looks: Mapping[str, Mapping[str, Any]]) -> None:
    ends: dict[str, tuple[float, float]] = {}
    seen: list[float] = []
    for name, rows in networks.items():
        epochs, values = _validated(rows, quantity)
        label = name if _has(rows, f"val_{quantity}") else f"{name} (training)"
        axis.plot(epochs, values, **looks[name])
        seen += values
        finite = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if math.isfinite(value)]
        ends[label] = finite[-1] if finite else (epochs[-1], math.nan)
    _epochs(axis, [row for rows in networks.values() for row in rows])
    _numbers(axis, quantity, seen)
    end_labels.write(axis, ends, [looks[name] for name in networks])


def _numbers(axis: Axes, quantity: str, values: Sequence[float]) -> None:
    """Percent for accuracies; a logarithmic axis for losses that differ much."""
    seen = [value for value in values if math.isfinite(value)]
    if quantity == "accuracy":
        _percent(axis, seen)
    elif seen and min(seen) > 0 and max(seen) / min(seen) > _LOG_FROM:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())


def _validated(rows: Rows, quantity: str) -> tuple[list[float], list[float]]:
    """Epochs and values on the validation images; on the training images where there are no such."""
    return _points(rows, f"val_{quantity}" if _has(rows, f"val_{quantity}") else quantity)


def _look(place: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[place],
        "linestyle": "-",
        "marker": ".",
        "markersize": 5,
        "linewidth": 1.5,
    }


def _has(rows: Rows, key: str) -> bool:
    return any(key in row for row in rows)


def _points(rows: Rows, key: str) -> tuple[list[float], list[float]]:
    return [row["epoch"] for row in rows], [float(row.get(key, math.nan)) for row in rows]


def _epochs(axis: Axes, rows: Rows) -> None:
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    last = max((row["epoch"] for row in rows), default=1)
    axis.set_xlim(0.5, last + 0.5)


def _percent(axis: Axes, values: Sequence[float]) -> None:
    spread = max(values) - min(values) if values else 1
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1 if spread < 0.04 else 0))
