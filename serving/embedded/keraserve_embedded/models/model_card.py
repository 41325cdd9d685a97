"""The model card of a version (`assets.extra/model_card.json`), as far as serving depends on it."""

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
        return None  # a model of another exporter: it may have no card, or one of another kind
    said = card.get("independent_rows") if isinstance(card, dict) else None
    return said if isinstance(said, bool) else None
