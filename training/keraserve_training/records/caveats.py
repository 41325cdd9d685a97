"""Caveats of a run's figures, procedural images or random weights: for report, documents and plots."""

from collections.abc import Mapping, Sequence
from typing import Any

PROCEDURAL = "procedural images"
RANDOM = "random weights"
ALL = (PROCEDURAL, RANDOM)
_MEANING = {PROCEDURAL: "these figures mean nothing", RANDOM: "nothing was transferred"}


def of(config: Mapping[str, Any]) -> list[str]:
    """The caveats of a run, from its `config.json`; none if images and weights were real."""
    weights = config.get("weights")
    random = isinstance(weights, Mapping) and weights.get("kind") == "random"
    return [PROCEDURAL] * (config["data"]["kind"] == "procedural") + [RANDOM] * random


def banner(config: Mapping[str, Any]) -> str:
    """The caveats of a run as one line above a plot; empty if there are none."""
    return line(of(config))


def line(found: Sequence[str]) -> str:
    """Caveats as one line; empty if there are none."""
    return f"{' and '.join(found).capitalize()}: {_MEANING[found[0]]}" if found else ""
