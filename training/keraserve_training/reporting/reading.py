"""Describe a network's learning curves in a sentence or two."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Rows = Sequence[Mapping[str, Any]]

_SHORTEST = 3  # epochs that make a curve
_RISEN, _FALLEN = 1.05, 0.98  # ratios of validation losses
_HARDLY = 1.5  # times the accuracy of guessing
ASIDE, TEST = "validation", "test"
"""What a network is tested on after every epoch: images set aside, or the test images themselves."""


def curve(rows: Rows, classes: int | None, on: str = ASIDE) -> str:
    """Say how a network converged; empty if there are too few epochs.

    Args:
        rows: of its `history.csv`.
        classes: how many there are; None if it does not classify.
        on: `ASIDE` or `TEST`.
    """
    if lost := next((row for row in rows if not _finite(row)), None):
        return f"The loss stops being a number in epoch {lost['epoch']:.0f}: the training diverged."
    if len(rows) < _SHORTEST or "val_loss" not in rows[-1]:
        return ""
    said = [
        _learnt_little(rows, classes, on) or _convergence(rows, on),
        _accuracy(rows, on),
        _last_phase(rows, on),
    ]
    return " ".join(sentence for sentence in said if sentence)


def _finite(row: Mapping[str, Any]) -> bool:
    return all(math.isfinite(row[key]) for key in ("loss", "val_loss") if key in row)


def _learnt_little(rows: Rows, classes: int | None, on: str) -> str:
    if not classes or "val_accuracy" not in rows[-1]:
        return ""
    reached = max(row["val_accuracy"] for row in rows)
    guessing = 1 / classes
    if reached >= (guessing * _HARDLY if classes > 2 else 0.55):
        return ""
    return (
        f"It hardly learns: at best {100 * reached:.1f} % of the {on} images are right, where"
        f" guessing gives {100 * guessing:.1f} %."
    )


def _convergence(rows: Rows, on: str) -> str:
    best = min(rows, key=lambda row: row["val_loss"])
    last = rows[-1]
    rises = last["val_loss"] > _RISEN * best["val_loss"]
    if rises and last["loss"] < best["loss"]:
        return (
            f"From epoch {best['epoch']:.0f} on the {on} loss rises"
            f" from {_loss(best['val_loss'])} to {_loss(last['val_loss'])} while the training loss falls from"
            f" {_loss(best['loss'])} to {_loss(last['loss'])}."
        )
    if rises:
        return (
            f"The {on} loss is lowest in epoch {best['epoch']:.0f} ({_loss(best['val_loss'])}) and goes"
            f" up and down after it; it ends at {_loss(last['val_loss'])}."
        )
    earlier = rows[-1 - max(1, len(rows) // 5)]
    if last["val_loss"] < _FALLEN * earlier["val_loss"]:
        return (
            f"It is still getting better when it stops: the {on} loss falls from"
            f" {_loss(earlier['val_loss'])} in epoch {earlier['epoch']:.0f} to {_loss(last['val_loss'])} in"
            " the last one."
        )
    return f"It levels off: the {on} loss ends at {_loss(last['val_loss'])}."


def _accuracy(rows: Rows, on: str) -> str:
    if "val_accuracy" not in rows[-1]:
        return ""
    best = max(rows, key=lambda row: row["val_accuracy"])
    return (
        f"The best {on} accuracy is {100 * best['val_accuracy']:.1f} %, in epoch {best['epoch']:.0f} of"
        f" {len(rows)}."
    )


def _last_phase(rows: Rows, on: str) -> str:
    """How the last phase changed the accuracy, if it is not the only one."""
    name = rows[-1].get("phase")
    before = [row for row in rows if row.get("phase") != name]
    if not before or "val_accuracy" not in rows[-1]:
        return ""
    return (
        f"The phase “{name}” takes the {on} accuracy from {100 * before[-1]['val_accuracy']:.1f} % to"
        f" {100 * rows[-1]['val_accuracy']:.1f} %."
    )


def _loss(value: float) -> str:
    return f"{value:.3g}"
