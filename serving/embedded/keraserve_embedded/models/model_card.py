"""The model card of a version (`assets.extra/model_card.json`), as far as serving depends on it."""

import json
from pathlib import Path
from typing import Any

FILE = "assets.extra/model_card.json"


def independent_rows(folder: Path) -> bool | None:
    """Read whether each row of a batch gives the same result as alone, as the exporter measured it.

    Returns:
        None if the version in `folder` does not say.
    """
    try:
        card: Any = json.loads((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return None  # the model of another exporter may have no card, or one of another kind
    said = card.get("independent_rows") if isinstance(card, dict) else None
    return said if isinstance(said, bool) else None
