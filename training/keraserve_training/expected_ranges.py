"""The ranges that figures of full runs on the public data had so far, from a file that `results` writes."""

import functools
import json
from dataclasses import dataclass
from importlib import resources

FILE = "expected_ranges.json"


@dataclass(frozen=True)
class Range:
    """The lowest and the highest value of a figure over a number of runs."""

    low: float
    high: float
    runs: int


def key(experiment: str, options: str) -> str:
    """The file's key for runs with some options: `options` as `gathering.key` gives them, or empty."""
    return f"{experiment}+{options}" if options else experiment


def of(experiment: str, metric: str) -> Range | None:
    """The range of one figure, where `experiment` is what `key` gives; None: no such run was made."""
    found = _all().get(experiment, {}).get(metric)
    return Range(found["low"], found["high"], int(found["runs"])) if found else None


@functools.cache
def _all() -> dict[str, dict[str, dict[str, float]]]:
    file = resources.files("keraserve_training") / FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
