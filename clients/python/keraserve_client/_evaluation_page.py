"""The page of `keraserve evaluate --html`: figures, calibration and the surest mistakes, in one file."""

import base64
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from keraserve_client._errors import InvalidInput
from keraserve_client._types import Class
from keraserve_protocol.evaluation import Comparison, Evaluation

_SHOWN = 24  # mistakes
_SIDE = 160  # pixels
_QUALITY = 75


def check() -> None:
    """Raise InvalidInput if Pillow, which makes the pictures small, is not installed."""
    if importlib.util.find_spec("PIL") is None:
        raise InvalidInput("--html needs Pillow: install keraserve-client[pillow]")


def write(
    file: Path,
    folder: Path,
    evaluations: Sequence[tuple[str, Evaluation]],
    comparison: Comparison | None,
    mistakes: Sequence[tuple[Path, str, Class]],
) -> None:
    """Write the page, without links to the network.

    Args:
        file: it.
        folder: of the images.
        evaluations: of one version or two, each with its name.
        comparison: of the two.
        mistakes: of the first version: an image, its class, the class that was found; the surest first.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keraserve_client"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("evaluation.html.j2").render(
        folder=folder.resolve().name,
        evaluations=evaluations,
        comparison=comparison,
        mistakes=[
            {"name": str(path.relative_to(folder)), "uri": _small(path), "truth": truth, "found": found}
            for path, truth, found in mistakes[:_SHOWN]
        ],
        more=max(0, len(mistakes) - _SHOWN),
    )
    file.write_text(page, "utf-8")


def _small(path: Path) -> str:
    """An image as a data URI, upright and small; empty where Pillow can't read what the model could."""
    from PIL import Image, ImageOps

    content = io.BytesIO()
    try:
        with Image.open(path) as opened:
            image: Any = ImageOps.exif_transpose(opened)
            image.thumbnail((_SIDE, _SIDE))
            image.convert("RGB").save(content, "JPEG", quality=_QUALITY)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
