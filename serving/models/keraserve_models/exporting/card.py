"""The model card of a version: a JSON object that travels with it."""

import json
from pathlib import Path
from typing import Any

from keraserve_models import atomic
from keraserve_models.repository import folders
from keraserve_protocol import image_formats


def write(place: Path, content: dict[str, Any], *, in_graph: bool = True) -> None:
    """Put a card into the folder of a version: beside the model, and where its signature reads it."""
    for name in (folders.MODEL_CARD, *((folders.CARD_ASSET,) if in_graph else ())):
        (place / name).parent.mkdir(exist_ok=True)
        atomic.write_json(place / name, content)


def read(version: Path) -> dict[str, Any]:
    """A version's card; empty where it has none, as somebody else's model may."""
    try:
        content = json.loads((version / folders.MODEL_CARD).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def image_input(shape: tuple[int, int, int] | list[int], *, cropped: bool = False) -> dict[str, Any]:
    """Describe what an image classifier of this height, width and number of channels takes."""
    height, width, channels = shape
    resized = "resized inside the model, bilinear with antialiasing"
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "formats": [one.name for one in image_formats.FORMATS],
        "frames": "the first one of an animated GIF, PNG or WebP",
        "orientation": "turned upright as EXIF says",
        "size": (
            f"any; cropped around its middle to these proportions, then {resized}"
            if cropped
            else f"any; {resized}, without keeping the proportions"
        ),
        "values": "0 to 255; scaled inside the model",
        "colour": (
            "grey; colours are turned into grey by ITU-R BT.601 luma"
            if channels == 1
            else "red, green, blue; grey is repeated three times"
        )
        + "; transparency is composed on white",
    }
