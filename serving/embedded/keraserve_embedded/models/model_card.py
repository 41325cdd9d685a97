"""What a version says of itself in `assets.extra/model_card.json`, as far as it matters for serving it."""

import json
from pathlib import Path
from typing import Any

FILE = "assets.extra/model_card.json"


def independent_rows(folder: Path) -> bool | None:
    """Whether each row of a batch is answered as if it were alone, as the exporter measured it.

    Returns:
        None where the version in `folder` does not say so.
    """
    try:
        card: Any = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return None  # somebody else's model: it may have no card, or another kind of one
    said = card.get("independent_rows") if isinstance(card, dict) else None
    return said if isinstance(said, bool) else None
