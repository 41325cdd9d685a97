"""Nested JSON lists to and from tensors, as TensorFlow Serving's REST API writes them.

The rules are those of its documentation ("JSON mapping", "Encoding binary values"): the nesting is the
shape, a DT_STRING element is text or `{"b64": …}`, NaN and Infinity are allowed, an integer that a float
can't hold exactly is refused.
"""

import base64
import binascii
import json
from itertools import chain
from typing import Any, cast

import numpy as np

from keraserve_protocol import tensors
from keraserve_protocol.messages import DataType, TensorProto

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class JsonError(ValueError):
    """JSON that is not what the REST API asks for, or a tensor that has no JSON; says where."""


def load(body: bytes) -> dict[str, Json]:
    """Parse a request body: an object, NaN and Infinity included.

    Raises:
        JsonError: no JSON, too deeply nested, or no object.
    """
    try:
        value: Json = json.loads(body)
    except RecursionError as error:
        raise JsonError("the JSON is nested too deeply") from error
    except ValueError as error:  # includes bytes that are no UTF-8, and integers of thousands of digits
        raise JsonError(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise JsonError(f"the body has to be a JSON object, not {_kind(value)}")
    return value


def is_binary(value: Json) -> bool:
    """Tell whether the value is `{"b64": "…"}`, an element and not an object of names."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_binary(value: Json, where: str) -> bytes:
    """Take the bytes out of `{"b64": "…"}`; padding may be left out, white space is skipped.

    Raises:
        JsonError: not of that form, or no base64.
    """
    if not isinstance(value, dict) or not is_binary(value):
        raise JsonError(f'{where}: expected {{"b64": "…"}}, got {_kind(value)}')
    text = "".join(str(value["b64"]).split()).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise JsonError(f"{where}: not base64: {error}") from error


def to_tensor(value: Json, dtype: DataType, where: str) -> TensorProto:
    """Encode nested lists as a tensor of `dtype`; a bare value has the shape [].

    Raises:
        JsonError: lists of unequal length or depth, an element of another type or out of range, or a
            dtype that JSON has no form for. `where` is the name that the message starts with.
    """
    shape, flat = _flatten(value, where)
    if dtype == DataType.DT_STRING:
        proto = TensorProto(dtype=dtype, string_val=[_bytes(element, where) for element in flat])
        for size in shape:
            proto.tensor_shape.dim.add(size=size)
        return proto
    try:
        target = tensors.numpy_dtype(dtype)
    except tensors.TensorError as error:
        raise JsonError(f"{where}: {error}") from error
    return tensors.to_proto(_numbers(flat, target, where).reshape(shape))


def from_tensor(proto: TensorProto, *, binary: bool) -> Json:
    """Decode a tensor as nested lists; `binary` writes DT_STRING elements as `{"b64": …}`.

    float32 and float16 become the shortest decimals that read back as the same number (0.2, not
    0.20000000298).

    Raises:
        JsonError: a dtype that JSON has no form for (complex numbers, quantized types, resources), or a
            malformed tensor.
    """
    try:
        array = tensors.from_proto(proto)
    except tensors.TensorError as error:
        raise JsonError(str(error)) from error
    if array.dtype.kind == "c":
        raise JsonError("complex numbers have no JSON form")
    if array.dtype.kind == "O":
        elements: list[Json] = [_text(element, binary) for element in array.ravel().tolist()]
        array = np.array([*elements, None], dtype=object)[:-1].reshape(array.shape)
    elif array.dtype.name in ("float32", "float16"):
        array = array.astype(np.str_).astype(np.float64)
    return cast(Json, array.tolist())


_MOST_DIMENSIONS = 32  # numpy's own limit is 64


def _flatten(value: Json, where: str) -> tuple[list[int], list[Json]]:
    """Unnest level by level, in C: a picture as a list has 150,000 elements."""
    shape: list[int] = []
    flat: list[Json] = [value]
    while flat and list in set(map(type, flat)):
        if set(map(type, flat)) != {list}:
            raise JsonError(f"{where}: lists and values are mixed at depth {len(shape)}")
        lists = cast(list[list[Json]], flat)
        sizes = set(map(len, lists))
        if len(sizes) > 1:
            raise JsonError(f"{where}: lists at depth {len(shape)} differ in length: {sorted(sizes)[:3]}")
        shape.append(sizes.pop())
        if len(shape) > _MOST_DIMENSIONS:
            raise JsonError(f"{where}: lists nested deeper than {_MOST_DIMENSIONS}")
        flat = list(chain.from_iterable(lists))
    return shape, flat


def _numbers(flat: list[Json], target: np.dtype[Any], where: str) -> tensors.Array:
    allowed = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}}.get(target.kind)
    if allowed is None:
        raise JsonError(f"{where}: {target.name} has no JSON form")
    if not set(map(type, flat)) <= allowed:
        wrong = next(element for element in flat if type(element) not in allowed)
        raise JsonError(f"{where}: {_kind(wrong)} where {target.name} is expected")
    if target.kind in "iu" and flat:
        limits = np.iinfo(target)
        numbers = cast(list[int], flat)
        if min(numbers) < limits.min or max(numbers) > limits.max:
            raise JsonError(f"{where}: a number is out of {target.name}'s range")
    if target.kind == "f":
        return _floats(cast(list[int | float], flat), target, where)
    return np.array(flat, dtype=target)


def _floats(flat: list[int | float], target: np.dtype[Any], where: str) -> tensors.Array:
    try:
        wide = np.array(flat, dtype=np.float64)
    except OverflowError as error:
        raise JsonError(f"{where}: a number is out of {target.name}'s range") from error
    limits = np.finfo(target)
    size = np.abs(wide)
    if np.any((size > float(limits.max)) & np.isfinite(wide)):
        raise JsonError(f"{where}: a number is out of {target.name}'s range")
    exact = 2 ** (limits.nmant + 1) - 1
    if any(type(flat[int(index)]) is int for index in np.flatnonzero(size > exact)):
        raise JsonError(f"{where}: an integer above {exact} would lose digits as {target.name}")
    return wide.astype(target)


def _bytes(element: Json, where: str) -> bytes:
    if isinstance(element, str):
        try:
            return element.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair
            raise JsonError(f"{where}: a string that is no Unicode text") from error
    return decode_binary(element, where)


def _text(element: bytes, binary: bool) -> Json:
    if binary:
        return {"b64": base64.b64encode(element).decode("ascii")}
    return element.decode(errors="replace")


def _kind(value: Json) -> str:
    names = {
        "list": "a list",
        "dict": "an object",
        "str": "a string",
        "bool": "a boolean",
        "NoneType": "null",
    }
    return names.get(type(value).__name__, "a number")
