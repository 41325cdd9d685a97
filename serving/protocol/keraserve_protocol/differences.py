"""How far two runs of a model are apart: the written version and its model, TensorFlow and OpenVINO."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

TOLERANCE = 1e-4
"""Largest difference that counts as the same; of a probability, or relative to a value beyond 1."""


def largest(ours: Mapping[str, npt.NDArray[Any]], theirs: Mapping[str, npt.NDArray[Any]]) -> float:
    """The largest difference over all outputs, which both have under the same names.

    Of values beyond 1 in proportion to them; infinity where shapes differ, or only one of both is a number.
    """
    if ours.keys() != theirs.keys():
        return math.inf
    return max((_difference(ours[name], theirs[name]) for name in ours), default=math.inf)


def _difference(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> float:
    if ours.shape != theirs.shape:
        return math.inf
    if ours.dtype.kind in "OSUbiu":  # whole numbers may be indices
        return 0.0 if np.array_equal(ours, theirs) else math.inf
    wide = np.complex128 if "c" in (ours.dtype.kind, theirs.dtype.kind) else np.float64
    ours, theirs = ours.astype(wide), theirs.astype(wide)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs)))
    return float(np.nan_to_num(apart, nan=math.inf).max(initial=0.0))
