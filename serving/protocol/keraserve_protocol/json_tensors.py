"""Nested JSON lists to and from tensors, as TensorFlow Serving's REST API writes them.

The rules are those of its documentation ("JSON mapping", "Encoding binary values"): the nesting is the
shape, a DT_STRING element is text or `{"b64": …}`, NaN and Infinity are allowed, an integer that a float
can't hold exactly is refused.
"""

import base64
import binascii
import json
import math
import struct
from collections.abc import Sequence
from itertools import chain
from typing import cast

from keraserve_protocol import number_text
from keraserve_protocol.elements import (
    ELEMENTS,
    STRING,
    Element,
    TensorError,
    element_of,
    pack,
    shape_of,
    unpack,
)
from keraserve_protocol.messages import DataType, TensorProto, TensorShapeProto
from keraserve_protocol.number_text import NumberText, PackedNumbers, Steps

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


class JsonError(ValueError):
    """JSON that is not what the REST API asks for, or a tensor that has no JSON; says where."""


# The very objects that stand for these words: any other infinite number was one that no float holds.
_CONSTANTS = {"NaN": math.nan, "Infinity": float("inf"), "-Infinity": float("-inf")}


def load(body: bytes) -> dict[str, Json]:
    """Parse a request body: an object, NaN and Infinity included.

    Raises:
        JsonError: no JSON, too deeply nested, or no object.
    """
    try:
        value: Json = json.loads(body, parse_constant=_CONSTANTS.__getitem__)
    except RecursionError as error:
        raise JsonError("the JSON is nested too deeply") from error
    except ValueError as error:  # includes bytes that are no UTF-8, and integers of thousands of digits
        raise JsonError(f"the body is not JSON: {error}") from error
    if b"\\u" in body:
        _check_text(value)
    if not isinstance(value, dict):
        raise JsonError(f"the body has to be a JSON object, not {_kind(value)}")
    return value


def _check_text(value: Json) -> None:
    """Refuse half of a surrogate pair, which escapes can write and no message can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise JsonError("the body holds a string that is no Unicode text") from error


def load_numbers(numbers: NumberText) -> Json:
    """Parse a list that `number_text` could not pack.

    Raises:
        JsonError: it is none.
    """
    return load(b'{"":%b}' % numbers.text)[""]


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


def pack_numbers(numbers: NumberText, dtype: DataType) -> Steps[PackedNumbers | None]:
    """Pack the text of a nested list for a tensor of `dtype`, if it is regular; else nothing comes of it."""
    element = ELEMENTS.get(dtype)
    exact = _EXACT.get(element.name) if element else None
    return number_text.pack_numbers(numbers, dtype, exact)


def to_tensor(value: Json, dtype: DataType, where: str) -> TensorProto:
    """Encode nested lists as a tensor of `dtype`; a bare value has the shape [].

    Raises:
        JsonError: lists of unequal length or depth, an element of another type or out of range, or a
            dtype that JSON has no form for. `where` is the name that the message starts with.
    """
    sizes, flat = _flatten(value, where)
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])
    if dtype == STRING:
        strings = [_bytes(element, where) for element in flat]
        return TensorProto(dtype=dtype, tensor_shape=shape, string_val=strings)
    try:
        element = element_of(dtype)
        numbers = _numbers(flat, element, where)
        content = pack(numbers, dtype)
    except TensorError as error:
        raise JsonError(f"{where}: {error}") from error
    _check_exact(numbers, element, where)
    _check_finite(numbers, element, where)
    return TensorProto(dtype=dtype, tensor_shape=shape, tensor_content=content)


def from_tensor(proto: TensorProto, *, binary: bool) -> Json:
    """Decode a tensor as nested lists; `binary` writes DT_STRING elements as `{"b64": …}`.

    Bytes that are no UTF-8 are written that way in any case: as text they would be others.

    float32 and float16 become the shortest decimals that read back as the same number (0.2, not
    0.20000000298).

    Raises:
        JsonError: a dtype that JSON has no form for (complex numbers, quantized types, resources), or a
            malformed tensor.
    """
    try:
        shape = shape_of(proto)
        elements = cast("Sequence[Json]", unpack(proto, shape))
    except TensorError as error:
        raise JsonError(f"no JSON form: {error}") from error
    dtype = proto.dtype
    if dtype == STRING:
        elements = [_text(element, binary) for element in cast("Sequence[bytes]", elements)]
    elif dtype in _DIGITS:
        elements = [shortest(number, dtype) for number in cast("Sequence[float]", elements)]
    return _nested(elements, shape)


def shortest(value: float, dtype: DataType = DataType.DT_FLOAT) -> float:
    """Give the shortest decimal that reads back as this float32 (or float16): 0.2, not 0.20000000298."""
    pack, forms, enough = _DIGITS[dtype]
    exact, found = pack(value), None
    for form in forms:
        decimal = float(form % value)
        try:
            if pack(decimal) != exact:
                break
        except OverflowError:  # rounded up beyond the largest
            break
        found = decimal
    return float(enough % value) if found is None else found


# For each type that is written shorter than Python's own floats: how it is packed, ever shorter forms that
# may do, and the one that always does.
_DIGITS = {
    DataType.DT_FLOAT: (struct.Struct("f").pack, ("%.8g", "%.7g", "%.6g"), "%.9g"),
    DataType.DT_HALF: (struct.Struct("e").pack, ("%.4g", "%.3g", "%.2g"), "%.5g"),
}


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
        if len(shape) > number_text.MOST_DIMENSIONS:
            raise JsonError(f"{where}: lists nested deeper than {number_text.MOST_DIMENSIONS}")
        flat = list(chain.from_iterable(lists))
    return shape, flat


def _nested(elements: Sequence[Json], shape: Sequence[int]) -> Json:
    """Nest row-major elements as the shape says."""
    if not shape:
        return elements[0]
    rows: list[Json] = list(elements)
    for size in reversed(shape[1:]):
        if size == 0:
            return _empty(shape)
        rows = [rows[start : start + size] for start in range(0, len(rows), size)]
    return rows


def _empty(shape: Sequence[int]) -> Json:
    return [_empty(shape[1:]) for _ in range(shape[0])] if shape else None


def _numbers(flat: list[Json], element: Element, where: str) -> list[float]:
    allowed = _ALLOWED[element.name.rstrip("0123456789")]
    if not set(map(type, flat)) <= allowed:
        wrong = next(value for value in flat if type(value) not in allowed)
        raise JsonError(f"{where}: {_kind(wrong)} where {element.name} is expected")
    return cast("list[float]", flat)


def _check_exact(numbers: list[float], element: Element, where: str) -> None:
    exact = _EXACT.get(element.name)
    # isinstance finds booleans too, which `_numbers` has refused where floats are expected.
    if exact and max((abs(number) for number in numbers if isinstance(number, int)), default=0) > exact:
        raise JsonError(f"{where}: an integer above {exact} would lose digits as {element.name}")


def _check_finite(numbers: list[float], element: Element, where: str) -> None:
    """Refuse a decimal that became infinite: 1e999. What was written as Infinity is meant."""
    if not element.name.startswith("float") or not (math.inf in numbers or -math.inf in numbers):
        return
    meant = {id(constant) for constant in _CONSTANTS.values()}
    if any(math.isinf(number) and id(number) not in meant for number in numbers):
        raise JsonError(f"{where}: a number is out of {element.name}'s range")


# The types of JSON numbers that each kind of element takes.
_ALLOWED: dict[str, set[type]] = {
    "bool": {bool},
    "int": {int},
    "uint": {int},
    "float": {int, float},
    "complex": set(),
}
# The largest integers up to which a float holds every one.
_EXACT = {"float16": 2**11 - 1, "float32": 2**24 - 1, "float64": 2**53 - 1}


def _bytes(element: Json, where: str) -> bytes:
    if isinstance(element, str):
        try:
            return element.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair
            raise JsonError(f"{where}: a string that is no Unicode text") from error
    return decode_binary(element, where)


def _text(element: bytes, binary: bool) -> Json:
    if not binary:
        try:
            return element.decode()
        except UnicodeDecodeError:
            pass  # bytes that are no text have the one form that keeps them
    return {"b64": base64.b64encode(element).decode("ascii")}


def _kind(value: Json) -> str:
    names = {
        "list": "a list",
        "dict": "an object",
        "str": "a string",
        "bool": "a boolean",
    }
    return "null" if value is None else names.get(type(value).__name__, "a number")
