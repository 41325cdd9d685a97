"""What has to be said of figures that say little: in the report, in documents and on every image."""

from collections.abc import Mapping, Sequence
from typing import Any

PROCEDURAL = "procedural images"
RANDOM = "random weights"
ALL = (PROCEDURAL, RANDOM)
_MEANING = {PROCEDURAL: "these figures mean nothing", RANDOM: "nothing was transferred"}


def of(config: Mapping[str, Any]) -> list[str]:
    """The caveats of a run, from its `config.json`; none where real images and real weights were used."""
    weights = config.get("weights")
    random = isinstance(weights, Mapping) and weights.get("kind") == "random"
    procedural = config["data"]["kind"] == "procedural"
    return [PROCEDURAL] * bool(procedural) + [RANDOM] * random


def banner(config: Mapping[str, Any]) -> str:
    """The caveats of a run as one line above an image; empty where there are none."""
    return line(of(config))


def line(found: Sequence[str]) -> str:
    """Caveats as one line; empty where there are none."""
    return f"{' and '.join(found).capitalize()}: {_MEANING[found[0]]}" if found else ""
