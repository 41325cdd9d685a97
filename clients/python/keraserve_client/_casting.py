"""Casts of an input's values to its dtype, if they lose nothing but digits of decimals.

A cast that changes more is rejected: a whole number that a float rounds, a decimal out of range, a boolean as
a number. A caller who wants that casts the array.
"""

from collections.abc import Sequence
from itertools import chain
from numbers import Integral
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from keraserve_client._errors import InvalidInput

Array = npt.NDArray[Any]

BFLOAT16 = "bfloat16"
"""The one type that is sent although numpy lacks it: the upper half of a float32."""

# Up to this number a type has every whole number; complex numbers consist of two floats.
_EXACT = {
    BFLOAT16: 1 << 8,
    "float16": 1 << 11,
    "float32": 1 << 24,
    "float64": 1 << 53,
    "complex64": 1 << 24,
    "complex128": 1 << 53,
}
_WHOLE = "iu"
_DECIMAL = "fc"


def to_numbers(values: npt.ArrayLike, dtype: str, where: str) -> Array:
    """Cast numbers or booleans, of any shape.

    Args:
        values: an array or nested lists.
        dtype: numpy's name of the input's dtype, or `BFLOAT16`.
        where: the beginning of an error's message.

    Returns:
        An array of the dtype; for `BFLOAT16` a float32 array of numbers that bfloat16 has.

    Raises:
        InvalidInput: the values would change, or are no numbers.
    """
    given = _array(values, where)
    if dtype == BFLOAT16 and given.dtype.name == BFLOAT16:  # of the package ml_dtypes
        return from_bfloat16(given.view(np.uint16))
    wanted = np.dtype(np.float32 if dtype == BFLOAT16 else dtype)
    if given.size == 0:
        return given.astype(wanted)
    kinds = _kinds(values, given)
    if "b" in kinds and len(kinds) > 1:
        raise _rejected(where, "booleans among numbers")
    if not _allowed(given.dtype.kind, wanted.kind):
        raise _rejected(where, _name(given, kinds))
    if wanted.kind in _WHOLE:
        limits = np.iinfo(wanted.name)
        if int(given.min()) < limits.min or int(given.max()) > limits.max:
            raise _rejected(where, "numbers out of its range")
    with np.errstate(all="ignore"):
        found = given.astype(wanted, copy=False)
        found = from_bfloat16(to_bfloat16(found)) if dtype == BFLOAT16 else found
    if wanted.kind in _DECIMAL:
        if given.dtype.kind in _DECIMAL and not (np.isfinite(found) | ~np.isfinite(given)).all():
            raise _rejected(where, "numbers out of its range")
        if kinds & set(_WHOLE):
            _check_whole(values, given, found, _EXACT[dtype], where)
    return found


def to_strings(values: npt.ArrayLike, where: str) -> Array:
    """Make an `object` array of bytes; text is encoded as UTF-8.

    Raises:
        InvalidInput: rows of unequal length, neither text nor bytes, or half of a surrogate pair.
    """
    _check_unmasked(values, where)
    try:
        array = np.asarray(values, dtype=object)  # a dtype of numpy's own would drop NULs at the end
    except ValueError as error:
        raise InvalidInput(f"{where}: rows of unequal length") from error
    if any(isinstance(value, list | tuple) for value in array.ravel().tolist()):
        raise InvalidInput(f"{where}: rows of unequal length")
    try:
        flat = [value.encode() if isinstance(value, str) else value for value in array.ravel().tolist()]
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{where}: half of a surrogate pair is no text; give bytes") from error
    if not all(isinstance(value, bytes) for value in flat):
        raise InvalidInput(f"{where} is string, give text or bytes")
    strings = np.empty(len(flat), dtype=object)
    strings[:] = flat
    return strings.reshape(array.shape)


def to_bfloat16(numbers: Array) -> Array:
    """Round float32 to the nearest bfloat16, ties to even; returns the bits as uint16."""
    bits = np.ascontiguousarray(numbers, np.float32).view(np.uint32).reshape(numbers.shape)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    # Rounding could turn a NaN into zero, so a NaN keeps its upper bits and becomes a quiet one.
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(numbers), quiet, rounded).astype(np.uint16)


def from_bfloat16(bits: Array) -> Array:
    """Widen bfloat16, as bits in uint16, to float32, exactly."""
    wide = np.ascontiguousarray(bits, np.uint32) << np.uint32(16)
    return np.asarray(wide, np.uint32).view(np.float32).reshape(bits.shape)


def _array(values: npt.ArrayLike, where: str) -> Array:
    _check_unmasked(values, where)
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InvalidInput(f"{where}: rows of unequal length") from error
    except (TypeError, OverflowError) as error:
        raise InvalidInput(f"{where}: {error}") from error


def _check_unmasked(values: object, where: str) -> None:
    for one in cast("Sequence[object]", values) if isinstance(values, list | tuple) else (values,):
        if isinstance(one, np.ma.MaskedArray) and np.ma.is_masked(cast("Array", one)):
            raise InvalidInput(f"{where}: an array with masked values; fill them first (`array.filled(…)`)")


def _kinds(values: npt.ArrayLike, given: Array) -> set[str]:
    """The kinds of the numbers, as numpy names them, before they became one array."""
    leaves: list[Any] = [values]
    for _ in range(given.ndim):
        types = set(map(type, leaves))
        if types <= {list, tuple}:
            leaves = list(chain.from_iterable(leaves))
        elif types & {list, tuple}:
            leaves = list(chain.from_iterable(x if type(x) in (list, tuple) else (x,) for x in leaves))
    plain = {bool: "b", int: "i", float: "f", complex: "c"}
    kinds = {plain[kind] for kind in set(map(type, leaves)) & plain.keys()}
    return kinds | {np.asarray(leaf).dtype.kind for leaf in leaves if type(leaf) not in plain}


def _allowed(given: str, wanted: str) -> bool:
    if given in _WHOLE:
        return wanted in _WHOLE or wanted in _DECIMAL
    return given == wanted or (given == "f" and wanted == "c")


def _check_whole(values: npt.ArrayLike, given: Array, found: Array, exact: int, where: str) -> None:
    """Compare whole numbers with their cast, exactly, as Python's integers."""
    if given.dtype.kind in _WHOLE and -exact <= int(given.min()) and int(given.max()) <= exact:
        return
    originals = np.asarray(values, dtype=object).ravel().tolist()
    for original, number in zip(originals, found.ravel().tolist(), strict=True):
        if isinstance(original, Integral) and int(original) != number:
            raise _rejected(where, f"whole numbers that it would round, such as {int(original)}")


def _name(given: Array, kinds: set[str]) -> str:
    if given.dtype.kind == "O" and kinds <= {*_WHOLE, *_DECIMAL, "O"}:
        return "numbers of more than 64 bits, or objects"
    if given.dtype.kind in _DECIMAL and kinds <= set(_WHOLE):
        return "numbers out of its range"  # no integer type holds them all
    return str(given.dtype)


def _rejected(where: str, problem: str) -> InvalidInput:
    return InvalidInput(f"{where}, and the values given are {problem}: cast them yourself if that is meant")
