"""What was found, as Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from accelerator.measuring import PRECISIONS

_BACKENDS = {"jax": "JAX", "jax_by_operation": "JAX, by operation", "torch": "PyTorch"}


@dataclass(frozen=True)
class Row:
    """A step with one size of batch and one backend.

    Attributes:
        step: its label.
        batch: examples in it.
        documented: whether the experiment has this size of batch.
        backend: for people.
        timed: what was found, by precision; as `measuring.Timed`.
        shares: of what a matrix product reaches in that precision; none where operations are not counted.
    """

    step: str
    batch: int
    documented: bool
    backend: str
    timed: Mapping[str, Mapping[str, Any]]
    shares: Mapping[str, float]

    def rate(self, precision: str) -> float:
        """Examples a second, the middle of the rounds."""
        return self.batch / median(self.timed[precision]["seconds"])


def rows(folder: Path) -> list[Row]:
    """All that is in a folder, the steps with the least arithmetic for an example first.

    Args:
        folder: of the results; its `flop.json` has the operations of a step by label and size of batch.

    Raises:
        FileNotFoundError: nothing was measured.
    """
    flop = _flop(folder)
    found = []
    for backend, one in _measured(folder).items():
        by_row: dict[tuple[str, int], dict[str, Any]] = {}
        for each in one["timed"]:
            by_row.setdefault((each["step"], each["batch"]), {})[each["precision"]] = each
        for (step, batch), timed in by_row.items():
            shares = {
                precision: flop[f"{step}, {batch}"] / median(each["seconds"]) / one["reachable"][precision]
                for precision, each in timed.items()
                if f"{step}, {batch}" in flop
            }
            documented = next(iter(timed.values()))["documented"]
            found.append(Row(step, batch, documented, _BACKENDS[backend], timed, shares))
    arithmetic = {row.step: flop.get(f"{row.step}, {row.batch}", 0) / row.batch for row in found}
    return sorted(found, key=lambda row: (arithmetic[row.step], row.step, row.batch))


def render(folder: Path, chart: str) -> str:
    """Write every backend's figures that are in a folder, below the image of them.

    Raises:
        FileNotFoundError: nothing was measured.
    """
    measured, found = _measured(folder), rows(folder)
    head = ["step", "batch", "backend", *PRECISIONS]
    lines = [head, ["---", "--:", "---", *["--:"] * len(PRECISIONS)], *(_cells(row) for row in found)]
    return "\n".join(
        [
            *(_device(name, one) for name, one in measured.items()),
            *("", f"![Examples a second, and the share of a matrix product, of every step]({chart})", ""),
            *("<details><summary>All figures</summary>", ""),
            *(f"| {' | '.join(line)} |" for line in lines),
            *("", "</details>", ""),
            *_agreements(found),
            *_missing(measured),
            "",
        ]
    )


def _measured(folder: Path) -> dict[str, Any]:
    found = {
        name: json.loads((folder / f"{name}.json").read_text())
        for name in _BACKENDS
        if (folder / f"{name}.json").is_file()
    }
    if not found:
        raise FileNotFoundError(f"{folder} holds no measurements: run `measure` first")
    return found


def _flop(folder: Path) -> dict[str, float]:
    counted = folder / "flop.json"
    return json.loads(counted.read_text()) if counted.is_file() else {}


def _device(name: str, one: dict[str, Any]) -> str:
    products = ", ".join(f"{precision} {speed / 1e12:,.1f}" for precision, speed in one["reachable"].items())
    return f"- {_BACKENDS[name]}: {one['device']}, {one['versions']}; TFLOP/s of a matrix product: {products}"


def _cells(row: Row) -> list[str]:
    batch = f"{row.batch}{'' if row.documented else ' (ours)'}"
    return [row.step, batch, row.backend, *(_cell(row, precision) for precision in PRECISIONS)]


def _cell(row: Row, precision: str) -> str:
    if precision not in row.timed:
        return ""
    seconds = row.timed[precision]["seconds"]
    around = (max(seconds) - min(seconds)) / 2 / median(seconds)
    share = f" · {100 * row.shares[precision]:.2g}%" if precision in row.shares else ""
    return f"{row.rate(precision):,.0f} ±{around:.0%}{share}"


def _missing(measured: Mapping[str, Any]) -> list[str]:
    """What was not measured, by backend and reason."""
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for name, one in measured.items():
        for figure, why in one["failed"].items():
            reasons.setdefault((name, why), {})[figure.rpartition(", ")[0]] = None
    return [
        f"- Not measured with {_BACKENDS[name]}, or not in every precision and size of batch ({why}):"
        f" {'; '.join(steps)}."
        for (name, why), steps in reasons.items()
    ]


def _agreements(found: Sequence[Row]) -> list[str]:
    """How far what networks give is from the same in float32, at most, in each backend and precision."""
    exact = {row.step: row.timed["float32"]["values"] for row in found if _shows(row, "float32")}
    furthest: dict[tuple[str, str], float] = {}
    for row in found:
        for precision in row.timed:
            if row.step in exact and _shows(row, precision):
                values, reference = row.timed[precision]["values"], exact[row.step]
                distance = float(np.linalg.norm(np.subtract(values, reference)) / np.linalg.norm(reference))
                way = row.backend, precision
                furthest[way] = max(furthest.get(way, 0.0), distance)
    return [
        f"- {backend}, {precision}: what a network gives for the same examples is at most {distance:.2g} of"
        f" its length from the same in float32{' by another backend' * (precision == 'float32')}."
        for (backend, precision), distance in furthest.items()
        if distance
    ]


def _shows(row: Row, precision: str) -> bool:
    return row.documented and precision in row.timed
