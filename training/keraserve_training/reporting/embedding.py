"""Embed plots in an HTML page as data URIs, with the widths at which they can be read."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from keraserve_training.drawing import page as drawing

_LARGEST = 100_000  # bytes of photographs as PNG; larger ones become JPEG
_QUALITY = 80
# CSS pixels for an inch of a plot, so that its letters can be read
_LEAST, _LEAST_OF_PHOTOGRAPHS, _MOST = 62, 44, 96


@dataclass(frozen=True)
class Embedded:
    """The attributes of an `img` element.

    Attributes:
        uri: the whole image, as a data URI.
        alt: what it shows, as text.
        kind: `chart` or `photographs`; a page in dark mode inverts the colours of charts.
        least: the smallest width, in CSS pixels, at which its letters can be read.
        most: the width, in CSS pixels, above which it only gets coarser.
        caption: below it.
    """

    uri: str
    alt: str
    kind: str
    least: int
    most: int
    caption: str = ""


def embed(path: Path, alt: str, *, caption: str = "", chart: bool | None = None) -> Embedded | None:
    """Read a PNG; None if there is no such file. `chart` says whether it is one; None: the file says it."""
    if not path.exists():
        return None
    photographs = drawing.holds_photographs(path) if chart is None else not chart
    content, form = path.read_bytes(), "png"
    with Image.open(path) as image:
        inches = image.width / drawing.DPI
        if photographs and len(content) > _LARGEST:
            content, form = _jpeg(image), "jpeg"
    return Embedded(
        uri=f"data:image/{form};base64,{base64.b64encode(content).decode()}",
        alt=alt,
        kind="photographs" if photographs else "chart",
        # Photographs may shrink more, since they have few letters.
        least=round(inches * (_LEAST_OF_PHOTOGRAPHS if photographs else _LEAST)),
        most=round(inches * _MOST),
        caption=caption,
    )


def _jpeg(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.convert("RGB").save(content, "JPEG", quality=_QUALITY, optimize=True, progressive=True)
    return content.getvalue()
