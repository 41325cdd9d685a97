"""What was found, as Markdown."""

import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

_BACKENDS = {"jax": "JAX", "jax_by_operation": "JAX, by operation", "torch": "PyTorch"}


def render(folder: Path) -> str:
    """Write every backend's figures that are in a folder.

    Raises:
        FileNotFoundError: nothing was measured.
    """
    found = {
        name: json.loads((folder / f"{name}.json").read_text())
        for name in _BACKENDS
        if (folder / f"{name}.json").is_file()
    }
    if not found:
        raise FileNotFoundError(f"{folder} holds no measurements: run `measure` first")
    counted = folder / "flop.json"
    flop = json.loads(counted.read_text()) if counted.is_file() else {}
    head = "| step | batch | precision | backend | examples/s | range | TFLOP/s | share of the product |"
    lines = [_device(name, one) for name, one in found.items()]
    lines += ["", head, "|---|--:|---|---|--:|--:|--:|--:|"]
    timed = [(name, each) for name, one in found.items() for each in one["timed"]]
    for name, each in sorted(timed, key=lambda one: (one[1]["step"], one[1]["batch"])):
        lines.append(_row(name, each, flop, found[name]["reachable"]))
    return "\n".join([*lines, "", *_agreements(timed), *_missing(found)]) + "\n"


def _device(name: str, one: dict[str, Any]) -> str:
    products = ", ".join(f"{precision} {speed / 1e12:,.1f}" for precision, speed in one["reachable"].items())
    return f"- {_BACKENDS[name]}: {one['device']}, {one['versions']}; TFLOP/s of a matrix product: {products}"


def _row(name: str, timed: dict[str, Any], flop: dict[str, float], reachable: dict[str, float]) -> str:
    step, batch, precision, seconds = (timed[key] for key in ("step", "batch", "precision", "seconds"))
    speed = flop.get(f"{step}, {batch}", 0) / median(seconds)
    cells = [
        step,
        f"{batch}{'' if timed['documented'] else ' (ours)'}",
        precision,
        _BACKENDS[name],
        f"{batch / median(seconds):,.0f}",
        f"{batch / max(seconds):,.0f} to {batch / min(seconds):,.0f}",
        f"{speed / 1e12:.3g}" if speed else "",
        f"{speed / reachable[precision]:.1%}" if speed else "",
    ]
    return f"| {' | '.join(cells)} |"


def _missing(found: dict[str, Any]) -> list[str]:
    """What was not measured, by backend and reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for name, one in found.items():
        for step, why in one["failed"].items():
            reasons.setdefault((name, why), []).append(step)
    return [
        f"- Not measured with {_BACKENDS[name]} ({why}): {'; '.join(steps)}."
        for (name, why), steps in reasons.items()
    ]


def _agreements(timed: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """How far what networks give is from the same in float32, at most, in each backend and precision."""
    exact = {
        (each["step"], each["batch"]): each["values"] for _, each in timed if each["precision"] == "float32"
    }
    furthest: dict[tuple[str, str], float] = {}
    for name, each in timed:
        reference = exact.get((each["step"], each["batch"]))
        if reference is not None:
            way = _BACKENDS[name], each["precision"]
            distance = float(
                np.linalg.norm(np.subtract(each["values"], reference)) / np.linalg.norm(reference)
            )
            furthest[way] = max(furthest.get(way, 0.0), distance)
    return [
        f"- {backend}, {precision}: what a network gives for the same examples is at most {distance:.2g} of"
        " its length from the same in float32."
        for (backend, precision), distance in furthest.items()
        if distance
    ]
