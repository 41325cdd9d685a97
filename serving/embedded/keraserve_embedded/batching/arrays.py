"""Merge the arrays of requests into one batch, and split its results again."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from keraserve_protocol.tensors import Array

Arrays = Mapping[str, Array]


def rows_of(arrays: Arrays) -> int:
    """Return the number of rows that all arrays have; 0 if they have none, or differ in it."""
    rows = {array.shape[0] if array.ndim else 0 for array in arrays.values()}
    return rows.pop() if len(rows) == 1 else 0


def merge_key(arrays: Arrays, *, pad: bool) -> Hashable:
    """Return what mergeable requests have in common: the inner shapes, or with `pad` only their ranks."""
    if pad and all(array.size for array in arrays.values()):
        return tuple(array.ndim for array in arrays.values())
    return tuple(array.shape[1:] for array in arrays.values())


def split(arrays: Arrays, rows: int) -> list[Arrays]:
    """Cut arrays into pieces of at most `rows` rows."""
    return [
        {name: array[start : start + rows] for name, array in arrays.items()}
        for start in range(0, rows_of(arrays), rows)
    ]


def join(pieces: Sequence[Arrays]) -> Arrays:
    """Concatenate the results of pieces."""
    if len(pieces) == 1:
        return pieces[0]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def merge(requests: Sequence[Arrays], rows: int) -> Arrays:
    """Merge requests with one merge key into one batch of `rows` rows.

    Inner dimensions that differ are padded to the largest, each array with its first element, as TensorFlow
    Serving does; missing rows are copies of the last one.
    """
    names = requests[0]
    return {name: _filled(_merged([arrays[name] for arrays in requests]), rows) for name in names}


def split_results(results: Arrays, sizes: Sequence[int], rows: int) -> list[Arrays] | None:
    """Split results by request; None if a result has another number of rows than the batch."""
    if any(array.ndim == 0 or array.shape[0] != rows for array in results.values()):
        return None
    parts: list[Arrays] = []
    start = 0
    for size in sizes:
        parts.append({name: array[start : start + size] for name, array in results.items()})
        start += size
    return parts


def _merged(arrays: Sequence[Array]) -> Array:
    if len(arrays) == 1:
        return arrays[0]
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) == 1:
        return np.concatenate(arrays)
    inner = np.max(list(shapes), axis=0)
    return np.concatenate([_widened(array, inner) for array in arrays])


def _widened(array: Array, inner: Array) -> Array:
    padding = [(0, 0), *((0, int(most - size)) for most, size in zip(inner, array.shape[1:], strict=True))]
    if not any(more for _, more in padding):
        return array
    return np.pad(array, padding, constant_values=array.flat[0])


def _filled(array: Array, rows: int) -> Array:
    more = rows - len(array)
    return np.concatenate([array, np.repeat(array[-1:], more, axis=0)]) if more else array
