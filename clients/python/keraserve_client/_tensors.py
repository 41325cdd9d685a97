"""Inputs as a signature wants them, and arrays to and from the JSON of TensorFlow Serving's REST API."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from keraserve_client._errors import InvalidAnswer, InvalidInput
from keraserve_client._types import Signature, TensorSpec

Array = npt.NDArray[Any]
Inputs = npt.ArrayLike | Mapping[str, npt.ArrayLike]
Json = Any
"""What `json` reads and writes."""


def fit(inputs: Inputs, signature: Signature) -> dict[str, Array]:
    """Name the inputs and give them the dtypes of the signature.

    Args:
        inputs: an array (or nested lists) for a signature with one input; by name for one with several.
        signature: what the model takes.

    Raises:
        InvalidInput: missing or unknown names, or values that the dtype can't hold.
    """
    wanted = signature.inputs
    if isinstance(inputs, Mapping):
        given = inputs
    elif len(wanted) == 1:
        given = {next(iter(wanted)): inputs}
    else:
        raise InvalidInput(f"the signature has {len(wanted)} inputs, give them by name: {_names(wanted)}")
    if set(given) != set(wanted):
        raise InvalidInput(f"the signature's inputs are {_names(wanted)}, not {_names(given)}")
    return {name: _cast(given[name], wanted[name], name) for name in wanted}


def _names(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names)) or "none"


def _cast(values: npt.ArrayLike, spec: TensorSpec, name: str) -> Array:
    dtype = spec.numpy
    if dtype is None:
        raise InvalidInput(f"input {name!r} is {spec.dtype}, which numpy doesn't have")
    if dtype.kind == "O":
        return _strings(values, name)
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InvalidInput(f"input {name!r}: rows of unequal length") from error
    if array.dtype == dtype:
        return array
    if array.size == 0:
        return array.astype(dtype)
    whole = array.dtype.kind in "iu" and dtype.kind in "iu"
    if (
        whole
        and int(array.min()) >= np.iinfo(dtype.name).min
        and int(array.max()) <= np.iinfo(dtype.name).max
    ):
        return array.astype(dtype)
    if not whole and array.dtype.kind in "iufc" and np.can_cast(array.dtype.type(0), dtype, "same_kind"):
        return array.astype(dtype)
    problem = "numbers out of its range" if whole else str(array.dtype)
    raise InvalidInput(f"input {name!r} is {spec.dtype}, and the values given are {problem}")


def _strings(values: npt.ArrayLike, name: str) -> Array:
    try:
        array = np.asarray(values, dtype=object)  # a dtype of numpy's own would drop NULs at the end
    except ValueError as error:
        raise InvalidInput(f"input {name!r}: rows of unequal length") from error
    flat = [value.encode() if isinstance(value, str) else value for value in array.ravel().tolist()]
    if not all(isinstance(value, bytes) for value in flat):
        raise InvalidInput(f"input {name!r} is string, give text or bytes")
    return objects(flat, array.shape)


def objects(flat: list[Any], shape: tuple[int, ...]) -> Array:
    """An array of Python objects, whatever they are."""
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(shape)


def to_json(array: Array) -> Json:
    """Nested lists; bytes as `{"b64": …}`.

    Raises:
        InvalidInput: complex numbers have no JSON.
    """
    if array.dtype.kind == "c":
        raise InvalidInput("complex numbers can't be sent over HTTP; use GrpcClient")
    if array.dtype.kind != "O":
        return array.tolist()
    coded = [{"b64": base64.b64encode(value).decode("ascii")} for value in array.ravel().tolist()]
    return objects(coded, array.shape).tolist()


def from_json(outputs: Json, signature: Signature) -> dict[str, Array]:
    """Read the `outputs` of a columnar answer: one output stands alone, several stand by name.

    Raises:
        InvalidAnswer: not what the signature says.
    """
    specs = signature.outputs
    by_name: Json = outputs if len(specs) != 1 else {next(iter(specs)): outputs}
    if not isinstance(by_name, dict) or set(cast("dict[str, Json]", by_name)) != set(specs):
        raise InvalidAnswer(f"the answer doesn't have the signature's outputs: {_names(specs)}")
    named = cast("dict[str, Json]", by_name)
    return {name: _read(named[name], specs[name], name) for name in specs}


def _read(values: Json, spec: TensorSpec, name: str) -> Array:
    dtype = spec.numpy
    if dtype is None:
        raise InvalidAnswer(f"output {name!r} is {spec.dtype}, which numpy doesn't have; use GrpcClient")
    try:
        if dtype.kind != "O":
            return np.asarray(values, dtype=dtype)
        array = np.asarray(values, dtype=object)
        return objects([_bytes(value) for value in array.ravel().tolist()], array.shape)
    except (ValueError, TypeError, KeyError, OverflowError, binascii.Error) as error:
        raise InvalidAnswer(f"output {name!r} is not a {spec.dtype} tensor") from error


def _bytes(value: Json) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["b64"], validate=True)
