"""The results, as rows and as Markdown."""

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
        backend: its title.
        timed: `measuring.Timed` as a dictionary, by precision.
        shares: of the speed of a matrix product in that precision; none if operations were not counted.
    """

    step: str
    batch: int
    documented: bool
    backend: str
    timed: Mapping[str, Mapping[str, Any]]
    shares: Mapping[str, float]

    def rate(self, precision: str) -> float:
        """Examples a second, the median of the rounds."""
        return self.batch / median(self.timed[precision]["seconds"])


def rows(folder: Path) -> list[Row]:
    """All results of a folder, the steps with the least arithmetic for an example first.

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
    """Write the figures of every backend, below their chart.

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
    """A line for each backend and reason for which something was not measured."""
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
    """A line for each backend and precision: how far outputs are from those in float32, at most."""
    exact = {row.step: row.timed["float32"]["values"] for row in found if _is_compared(row, "float32")}
    furthest: dict[tuple[str, str], float] = {}
    for row in found:
        for precision in row.timed:
            if row.step in exact and _is_compared(row, precision):
                values, reference = row.timed[precision]["values"], exact[row.step]
                distance = float(np.linalg.norm(np.subtract(values, reference)) / np.linalg.norm(reference))
                way = row.backend, precision
                furthest[way] = max(furthest.get(way, 0.0), distance)
    return [
        f"- {backend}, {precision}: outputs for the same examples differ by at most {distance:.2g} "
        f"of their length from those in float32{' on another backend' * (precision == 'float32')}."
        for (backend, precision), distance in furthest.items()
        if distance
    ]


def _is_compared(row: Row, precision: str) -> bool:
    return row.documented and precision in row.timed
