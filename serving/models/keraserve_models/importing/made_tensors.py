"""Tensors made on the spot that fit a signature, for comparisons and warm-up requests."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

LENGTHS = (8, 64)
"""Of a dimension that is not the first and that the signature leaves open: the first that the model takes."""
_WORDS = (b"a quick brown fox", b"jumps over", b"the lazy dog", b"", b"1", b"keras")


def made(
    inputs: Mapping[str, Any], rows: int, length: int = LENGTHS[0], seed: int = 1
) -> dict[str, npt.NDArray[Any]]:
    """Make tensors.

    Args:
        inputs: `tf.TensorSpec`s by name.
        rows: length of their first dimension, where it is open.
        length: of the others, where they are open.

    Returns:
        Numbers from 0 to 1 with three decimals, whole numbers 0 and 1 (they may be indices), words.
    """
    generator = np.random.default_rng(seed)
    return {name: _one(spec, rows, length, generator) for name, spec in inputs.items()}


def _one(spec: Any, rows: int, length: int, generator: np.random.Generator) -> npt.NDArray[Any]:
    rank = spec.shape.rank
    sides = list(spec.shape) if rank is not None else [None]
    shape = [
        side if side is not None else (rows if place == 0 else length) for place, side in enumerate(sides)
    ]
    kind = spec.dtype.as_numpy_dtype
    if spec.dtype.name == "string":
        return generator.choice(np.array(_WORDS, object), shape)
    if spec.dtype.is_floating or spec.dtype.is_complex:
        return generator.random(shape).round(3).astype(kind)
    return generator.integers(0, 2, shape).astype(kind)
