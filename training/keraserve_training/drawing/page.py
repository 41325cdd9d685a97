"""The figure that every plot is drawn on: its look, the caveat above it, and its small PNG file."""

import contextlib
import io
import textwrap
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from keraserve_models import atomic

mpl.use("Agg")

Pixels = npt.NDArray[np.uint8]
"""An image for people: uint8 [height, width, 1 or 3], values 0 to 255."""

DPI = 130
BLUE, ORANGE, GREY, GREEN = "#1f77b4", "#d95f02", "#777777", "#117a65"
_CAVEAT: dict[str, Any] = {
    "color": "#8a3b00",
    "weight": "bold",
    "ha": "center",
    "va": "bottom",
    "fontsize": 10,
    "bbox": {"facecolor": "#ffe3c7", "edgecolor": "#8a3b00", "boxstyle": "round,pad=0.4"},
}
_LOOK: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "font.size": 10,
    "text.parse_math": False,  # a class may be called "$5"
}
_LETTERS_AN_INCH = 12.5  # of the titles, on average
_LONGEST_NAME = 22
_CHART_COLOURS = 128
_CHART_WIDE, _PHOTOGRAPHS_WIDE = 1100, 560  # width of the small copies, in pixels
_KIND = "Keraserve"
_PHOTOGRAPHS = "photographs"

_caveat: ContextVar[str] = ContextVar("caveat", default="")


@contextlib.contextmanager
def with_caveat(text: str) -> Iterator[None]:
    """Write `text`, unless it is empty, above every plot that is drawn in the block."""
    token = _caveat.set(text)
    try:
        yield
    finally:
        _caveat.reset(token)


@contextlib.contextmanager
def page(
    path: Path, width: float, height: float, *, title: str = "", photographs: bool = False
) -> Iterator[Figure]:
    """An empty figure to draw on, written to `path` when all is drawn.

    Args:
        path: the file, which appears when it is whole.
        width: in inches, as `height`.
        height: of what is drawn; the caveat is added to it.
        title: above everything, broken into lines if it is long.
        photographs: it shows images: it needs many colours, and a page in dark mode may not invert it.
    """
    with mpl.rc_context(_LOOK):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)  # pyright: ignore
        if title:
            figure.suptitle(fill(title, width), fontsize=12)
        yield figure
        if caveat := _caveat.get():
            # Above the upper edge, where nothing was drawn: the file grows by it.
            figure.text(0.5, 1.02, fill(caveat, width), **_CAVEAT)
        content = _render(figure)
    atomic.write_with(path, lambda part: _compress(content, part, photographs))


def holds_photographs(path: Path) -> bool:
    """Whether a file of `page` shows images; true for any other PNG."""
    with Image.open(path) as image:
        return image.info.get(_KIND, _PHOTOGRAPHS) == _PHOTOGRAPHS


def shrink(path: Path, copy: Path) -> None:
    """Write a plot again, small enough to be kept beside a document."""
    photographs = holds_photographs(path)
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((_PHOTOGRAPHS_WIDE if photographs else _CHART_WIDE, 4 * _CHART_WIDE))
    content = io.BytesIO()
    small.save(content, "PNG")
    atomic.write_with(copy, lambda part: _compress(content.getvalue(), part, photographs))


def fill(text: str, width: float) -> str:
    """Break a title into lines of `width` inches."""
    return textwrap.fill(text, max(20, int(width * _LETTERS_AN_INCH)))


def short(name: str) -> str:
    """The name of a class, cut if it would run into the next one's."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _render(figure: Figure) -> bytes:
    content = io.BytesIO()
    with warnings.catch_warnings():
        # Class names come in every script; a letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(content, dpi=DPI, format="png", bbox_inches="tight", pad_inches=0.08)
    return content.getvalue()


def _compress(content: bytes, path: Path, photographs: bool) -> None:
    """Write a PNG; a chart with a palette: a third of the size without a visible difference."""
    note = PngImagePlugin.PngInfo()
    note.add_text(_KIND, _PHOTOGRAPHS if photographs else "chart")
    with Image.open(io.BytesIO(content)) as image:
        small = image.convert("RGB")
    if not photographs:
        small = small.quantize(_CHART_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(path, format="PNG", optimize=True, pnginfo=note, dpi=(DPI, DPI))
