"""Nested JSON lists to and from tensors, as in TensorFlow Serving's REST API.

The rules are those of its documentation ("JSON mapping", "Encoding binary values"): the nesting is the
shape, a DT_STRING element is text or `{"b64": …}`, NaN and Infinity are allowed, an integer that a float
can't hold exactly is rejected.
"""

import base64
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, cast

from keraserve_protocol import bfloat16, number_text
from keraserve_protocol.elements import (
    BFLOAT16,
    BFLOAT16_ELEMENT,
    ELEMENTS,
    PIECE,
    STRING,
    Element,
    TensorError,
    element_of,
    pack,
    reader,
    shape_of,
    type_name,
)
from keraserve_protocol.json_text import CONSTANTS, FormError, Json, JsonError, ResponseError, kind
from keraserve_protocol.messages import DataType, TensorProto, TensorShapeProto
from keraserve_protocol.number_text import MOST_NUMBERS, NumberText, PackedNumbers, Steps

JsonElements = tuple[tuple[int, ...], Callable[[int, int], Sequence[Json]]]
"""A tensor's shape, and a function that reads its elements from a start on and before a stop, row-major."""

_WHITE_SPACE = b" \t\r\n\f\v"
_BASE64_PIECE = 1 << 20  # characters; a multiple of four, so that each piece can be decoded


def is_binary(value: Json) -> bool:
    """Tell whether the value is `{"b64": "…"}`: one element, not an object of inputs."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_binary(value: Json, where: str) -> bytes:
    """Decode `{"b64": "…"}`; padding may be left out, white space is skipped.

    Raises:
        JsonError: another form, or no base64.
    """
    if not isinstance(value, dict) or not is_binary(value):
        raise JsonError(f'{where}: expected {{"b64": "…"}}, got {kind(value)}')
    try:
        text = str(value["b64"]).encode("ascii").translate(None, _WHITE_SPACE).rstrip(b"=")
        if b"=" in text:
            raise JsonError(f"{where}: not base64: padding in the middle")
        text += b"=" * (-len(text) % 4)
        # In pieces, so that other threads may run in between.
        pieces = range(0, len(text), _BASE64_PIECE)
        return b"".join(
            [base64.b64decode(text[start : start + _BASE64_PIECE], validate=True) for start in pieces]
        )
    except JsonError:
        raise
    except ValueError as error:  # binascii's too
        raise JsonError(f"{where}: not base64: {error}") from error


def pack_numbers(numbers: NumberText, dtype: DataType) -> Steps[PackedNumbers | None]:
    """Pack the text of a nested list for a tensor of `dtype`; None if the list is not regular."""
    element = ELEMENTS.get(dtype)
    exact = _EXACT.get(element.name) if element else None
    return number_text.pack_numbers(numbers, dtype, exact)


def to_tensor(value: Json, dtype: DataType, where: str) -> TensorProto:
    """Encode nested lists as a tensor of `dtype`; a value without a list has the shape [].

    Raises:
        JsonError: lists of unequal length or depth, an element of another type or out of range, or a
            dtype that JSON can't represent. The message starts with `where`.
    """
    sizes, flat = _flatten(value, where)
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in sizes])
    if dtype == STRING:
        strings = [_bytes(element, where) for element in flat]
        return TensorProto(dtype=dtype, tensor_shape=shape, string_val=strings)
    try:
        element = BFLOAT16_ELEMENT if dtype == BFLOAT16 else element_of(dtype)
        numbers = _numbers(flat, element, where)
        content = pack(numbers, dtype)
    except TensorError as error:
        raise JsonError(f"{where}: {error}") from error
    _check_exact(numbers, element, where)
    _check_finite(numbers, element, where)
    return TensorProto(dtype=dtype, tensor_shape=shape, tensor_content=content)


def from_tensor(proto: TensorProto, *, binary: bool) -> JsonElements:
    """Decode a tensor; `binary` makes `{"b64": …}` of DT_STRING elements.

    Bytes that are no UTF-8 become that in any case.

    float32, float16 and bfloat16 become the shortest decimals that read back as the same number (0.2, not
    0.20000000298).

    Raises:
        FormError: as `check_form`.
        ResponseError: a malformed tensor.
    """
    dtype = proto.dtype
    check_form(proto)
    try:
        shape = shape_of(proto)
        read = cast(Any, reader(proto, shape))
    except TensorError as error:
        raise ResponseError(f"no whole tensor: {error}") from error
    if dtype == STRING:
        return shape, lambda start, stop: [_text(one, binary) for one in read(start, stop)]
    if dtype in _DIGITS:
        return shape, lambda start, stop: [shortest(one, dtype) for one in read(start, stop)]
    return shape, read


def nested(elements: JsonElements, start: int = 0) -> Any:
    """Nest the elements from `start` on by the shape: lists, or for many an iterator for `json_text.dump`."""
    shape, read = elements
    count = math.prod(shape)
    return _nested(read(start, start + count), shape) if count <= PIECE else _in_pieces(elements, start)


def _in_pieces(elements: JsonElements, start: int) -> Iterator[Any]:
    (count, *row), read = elements
    size = math.prod(row)
    rows = PIECE // size
    if not rows:
        for index in range(count):
            yield nested(((*row,), read), start + index * size)
        return
    for first in range(0, count, rows):
        yield nested(((min(rows, count - first), *row), read), start + first * size)


def check_form(proto: TensorProto) -> None:
    """Check that JSON can represent a tensor's type, and so many elements.

    Raises:
        FormError: it can't (complex numbers, quantized types, resources; too many elements).
        ResponseError: there is no such type.
    """
    dtype, element = proto.dtype, ELEMENTS.get(proto.dtype)
    if dtype not in (STRING, BFLOAT16) and (element is None or not element.code):
        if dtype not in DataType.values():
            raise ResponseError(f"no tensor: {type_name(dtype)} is no type")
        raise FormError(f"{type_name(dtype)} has no form in JSON; ask over gRPC")
    elements = math.prod([dim.size for dim in proto.tensor_shape.dim])
    if elements > MOST_NUMBERS and elements == _present(proto, element):
        raise FormError(
            f"{elements} elements, where JSON carries {MOST_NUMBERS} at most; ask over gRPC, or for binary"
            " data (/v2/models/…/infer)"
        )


def _present(proto: TensorProto, element: Element | None) -> int:
    """Count the elements that a tensor holds, whatever its shape says."""
    if element is None:
        if proto.dtype == BFLOAT16:
            return len(proto.tensor_content) // 2 or len(proto.half_val)
        return len(proto.string_val)
    size = struct.calcsize(f"<{element.code}")
    return len(proto.tensor_content) // size or len(getattr(proto, element.field))


def shortest(value: float, dtype: DataType = DataType.DT_FLOAT) -> float:
    """Find the shortest decimal that reads back as this float32, float16 or bfloat16: 0.2, not 0.2000003."""
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


# For each type that needs fewer digits than Python's floats: its packing, formats from longer to shorter, and
# the format with enough digits for every number.
_DIGITS = {
    DataType.DT_FLOAT: (struct.Struct("f").pack, ("%.8g", "%.7g", "%.6g"), "%.9g"),
    DataType.DT_HALF: (struct.Struct("e").pack, ("%.4g", "%.3g", "%.2g"), "%.5g"),
    BFLOAT16: (bfloat16.pack, ("%.3g", "%.2g", "%.1g"), "%.4g"),
}


def _flatten(value: Json, where: str) -> tuple[list[int], list[Json]]:
    """Flatten level by level, with functions in C: an image as a list has 150,000 elements."""
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
    """Nest row-major elements by the shape."""
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
        raise JsonError(f"{where}: {kind(wrong)} where {element.name} is expected")
    return cast("list[float]", flat)


def _check_exact(numbers: list[float], element: Element, where: str) -> None:
    exact = _EXACT.get(element.name)
    if not exact:
        return
    # isinstance is true for booleans too, which `_numbers` has rejected.
    for number in [abs(one) for one in numbers if isinstance(one, int) and abs(one) > exact]:
        zeros = (number & -number).bit_length() - 1
        if number >> zeros > exact:
            raise JsonError(f"{where}: an integer above {exact} would lose digits as {element.name}")


def _check_finite(numbers: list[float], element: Element, where: str) -> None:
    """Reject a decimal that became infinite (1e999), but not the word Infinity."""
    if "float" not in element.name or not (math.inf in numbers or -math.inf in numbers):
        return
    meant = {id(constant) for constant in CONSTANTS.values()}
    if any(math.isinf(number) and id(number) not in meant for number in numbers):
        raise JsonError(f"{where}: a number is out of {element.name}'s range")


# The types of JSON numbers that each kind of element takes.
_ALLOWED: dict[str, set[type]] = {
    "bool": {bool},
    "int": {int},
    "uint": {int},
    "float": {int, float},
    "bfloat": {int, float},
    "complex": set(),
}
# The largest integers up to which a float holds every one.
_EXACT = {"bfloat16": 2**8 - 1, "float16": 2**11 - 1, "float32": 2**24 - 1, "float64": 2**53 - 1}


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
            pass
    return {"b64": base64.b64encode(element).decode("ascii")}
