"""The model card of a version (`assets.extra/model_card.json`), as far as serving depends on it."""

import json
from pathlib import Path
from typing import Any

from keraserve_protocol.openvino_form import CARD_KEY, LEAST_IMAGES, MOST_LOST, PRECISION_KEY

FILE = "assets.extra/model_card.json"


def independent_rows(folder: Path) -> bool | None:
    """Read whether each row of a batch gives the same result as alone, as the exporter measured it.

    Returns:
        None if the version in `folder` does not say.
    """
    said = _read(folder).get("independent_rows")
    return said if isinstance(said, bool) else None


def openvino(folder: Path) -> dict[str, Any]:
    """Read what the exporter says about OpenVINO's form of the version in `folder`; empty if nothing."""
    said = _read(folder).get(CARD_KEY)
    return said if isinstance(said, dict) else {}


def cost_of_bfloat16(folder: Path) -> tuple[bool, str]:
    """Read whether bfloat16 may be taken for the version in `folder`, and what it costs, in words."""
    said: Any = _read(folder).get(PRECISION_KEY)
    try:
        images, before, after = (
            said["images"], said["float32"]["accuracy"], said["bfloat16"]["accuracy"],
        )  # fmt: skip
        text = f"{after:.2%} of {images:,} images are right, in float32 {before:.2%}"
    except (TypeError, KeyError, ValueError):
        return False, "its card has no figures: import it with --try, images in folders of their classes"
    if images < LEAST_IMAGES:
        return False, f"{text}; at least {LEAST_IMAGES} images are needed to tell"
    if round(before - after, 6) > MOST_LOST:
        return False, f"{text}; it may lose {MOST_LOST:.1%} at most"
    return True, text


def _read(folder: Path) -> dict[str, Any]:
    try:
        card: Any = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return {}  # the model of another exporter may have no card, or one of another kind
    return card if isinstance(card, dict) else {}
