"""Figures in the style of the documents' charts, and how they are saved."""

from pathlib import Path
from typing import Any

COLOURS = ("#9ecae1", "#4292c6", "#08519c")
INK = "#767676"  # legible on white and on black


def figure(width: float, height: float) -> Any:
    """Return an empty figure; sizes in inches."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "bench",
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "font.size": 10,
        }
    )
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Any, file: Path) -> None:
    """Write it as SVG, the same bytes for the same values."""
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, transparent=True, metadata={"Date": None})
