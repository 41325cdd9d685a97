"""The chart of every step's speed, and of its share of a matrix product's."""

from collections.abc import Sequence
from pathlib import Path

from accelerator.results import Row

_PRECISIONS = {"float32": "o", "bfloat16": "D"}


def draw(rows: Sequence[Row], file: Path) -> None:
    """Write it as SVG: a row for each step with the experiment's own batch, a colour for each backend."""
    from bench.report import drawing

    rows = [row for row in rows if row.documented]
    steps = list(dict.fromkeys(row.step for row in rows))
    backends = list(dict.fromkeys(row.backend for row in rows))
    colours = dict(zip(backends, (drawing.COLOURS[2], "#e6550d", drawing.COLOURS[0]), strict=False))
    figure = drawing.figure(11, 0.27 * len(steps) + 1.2)
    rates, shares = figure.subplots(1, 2, sharey=True)
    for backend in backends:
        for precision, marker in _PRECISIONS.items():
            of_these = [row for row in rows if row.backend == backend and precision in row.timed]
            heights = [steps.index(row.step) for row in of_these]
            looks = {
                "linestyle": "",
                "marker": marker,
                "color": colours[backend],
                "fillstyle": "full" if precision == "float32" else "none",
                "label": f"{backend}, {precision}",
            }
            rates.plot([row.rate(precision) for row in of_these], heights, **looks)
            shares.plot([row.shares.get(precision) for row in of_these], heights, **looks)
    for axes, says in ((rates, "examples a second"), (shares, "share of a matrix product in that precision")):
        axes.set_xscale("log")
        axes.set_xlabel(says)
        axes.grid(color=drawing.INK, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    shares.xaxis.set_major_formatter(lambda share, _: f"{share:.4%}".rstrip("0%").rstrip(".") + "%")
    rates.set_yticks(range(len(steps)), steps)
    rates.set_ylim(len(steps) - 0.5, -0.5)
    figure.legend(*rates.get_legend_handles_labels(), frameon=False, loc="outside upper center", ncols=4)
    drawing.save(figure, file)
