"""A page that shows what was found, without links to the network."""

import base64
import io
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from keraserve_models import atomic
from keraserve_training.checking import printed
from keraserve_training.checking.check import Checked
from keraserve_training.checking.finding import Finding
from keraserve_training.data.image_files import ImageFiles

_SHOWN = 24  # groups of a finding; of copies, each group is a row
_TOGETHER = 4
_SIDE = 160
_QUALITY = 75


def write(checked: Checked, file: Path) -> None:
    """Write the page to a file."""
    loaders = [jinja2.PackageLoader(f"keraserve_training.{name}") for name in ("checking", "reporting")]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    root = checked.layout.root
    page = environment.get_template("check.html.j2").render(
        name=root.name,
        parts=checked.parts,
        classes=sorted({name for counts in checked.parts.values() for name in counts}),
        levels=printed.HEADINGS,
        findings=[_shown(finding, root) for finding in checked.findings],
        serious=checked.serious,
    )
    atomic.write_text(file, page)


def _shown(finding: Finding, root: Path) -> dict[str, Any]:
    decoded = finding.key not in ("undecodable", "ignored", "in-no-class")
    groups = [
        [
            {"name": printed.relative(file, root), "uri": _uri(file) if decoded else ""}
            for file in group[:_TOGETHER]
        ]
        for group in finding.files[:_SHOWN]
    ]
    reasons = [*finding.reasons, *[""] * len(groups)]
    return {
        "level": finding.level,
        "about": finding.about,
        "todo": finding.todo,
        "groups": list(zip(groups, reasons, strict=False)),
        "more": max(0, len(finding.files) - _SHOWN),
    }


def _uri(file: Path) -> str:
    (pixels,) = ImageFiles((file,), np.zeros(1, np.int32)).show(np.arange(1))
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((_SIDE, _SIDE))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
