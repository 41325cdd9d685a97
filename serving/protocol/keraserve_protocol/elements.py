"""The element types, the shape and the elements (as Python numbers) of a `TensorProto`, without numpy.

The forms are those of tensorflow/core/framework/tensor.proto: `tensor_content` holds the elements in
row-major order, little-endian; or one of the typed fields holds them, and if its list is shorter than the
shape says, its last value is repeated.
"""

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from keraserve_protocol import bfloat16
from keraserve_protocol.messages import DataType, TensorProto

Shape = tuple[int, ...]
Reader = Callable[[int, int], Sequence[float] | Sequence[bytes]]
STRING = DataType.DT_STRING  # looked up once: an enum's name costs as much as a call each time


class TensorError(ValueError):
    """An array that can't be a TensorProto, or a TensorProto that is not a complete tensor."""


@dataclass(frozen=True)
class Element:
    """An element type.

    Attributes:
        name: numpy's.
        code: its character in `struct`'s formats; empty where `struct` has none.
        field: the typed field that holds it.
        stored: name of the type that the typed field holds instead: the bits of a float16, or the two
            parts of a complex number.
    """

    name: str
    code: str
    field: str
    stored: str | None = None


ELEMENTS: dict[DataType, Element] = {
    DataType.DT_FLOAT: Element("float32", "f", "float_val"),
    DataType.DT_DOUBLE: Element("float64", "d", "double_val"),
    DataType.DT_HALF: Element("float16", "e", "half_val", "uint16"),
    DataType.DT_INT32: Element("int32", "i", "int_val"),
    DataType.DT_INT16: Element("int16", "h", "int_val"),
    DataType.DT_INT8: Element("int8", "b", "int_val"),
    DataType.DT_UINT8: Element("uint8", "B", "int_val"),
    DataType.DT_UINT16: Element("uint16", "H", "int_val"),
    DataType.DT_UINT32: Element("uint32", "I", "uint32_val"),
    DataType.DT_UINT64: Element("uint64", "Q", "uint64_val"),
    DataType.DT_INT64: Element("int64", "q", "int64_val"),
    DataType.DT_BOOL: Element("bool", "?", "bool_val"),
    DataType.DT_COMPLEX64: Element("complex64", "", "scomplex_val", "float32"),
    DataType.DT_COMPLEX128: Element("complex128", "", "dcomplex_val", "float64"),
}

# Not in ELEMENTS: numpy and `struct` have no such type.
BFLOAT16 = DataType.DT_BFLOAT16
BFLOAT16_ELEMENT = Element("bfloat16", "", "half_val", "uint16")

# A shape of a few bytes may ask for gigabytes. TensorFlow's own limit is 2^63 elements.
_MOST_ELEMENTS = 1 << 31
_MOST_REPEATED = 1 << 22
_MOST_DIMENSIONS = 64  # numpy's
PIECE = 1 << 14
"""Elements that are converted at once; other threads may run before the next."""


def element_of(dtype: DataType) -> Element:
    """Look the element type up.

    Raises:
        TensorError: bfloat16, a quantized type, or a resource.
    """
    element = ELEMENTS.get(dtype)
    if element is None:
        raise TensorError(f"tensors of type {type_name(dtype)} are not supported")
    return element


def type_name(dtype: DataType) -> str:
    """Name a type as TensorFlow does (DT_FLOAT); an unknown type by its number."""
    return DataType.Name(dtype) if dtype in DataType.values() else f"DataType {dtype}"


def shape_of(proto: TensorProto) -> Shape:
    """Read the shape.

    Raises:
        TensorError: unknown rank, a negative dimension, or too many elements or dimensions.
    """
    sizes = proto.tensor_shape
    if sizes.unknown_rank:
        raise TensorError("a tensor needs a known shape")
    shape = tuple([dim.size for dim in sizes.dim])
    if min(shape, default=0) < 0:
        raise TensorError(f"a tensor can't have the shape {list(shape)}")
    # Without the dimensions of 0: numpy multiplies the others as well, and fails beyond 2^63.
    if math.prod(filter(None, shape)) > _MOST_ELEMENTS or len(shape) > _MOST_DIMENSIONS:
        raise TensorError(f"a tensor of shape {list(shape)} is too large")
    return shape


def content_of(proto: TensorProto, count: int, size: int) -> bytes:
    """Read `tensor_content`, `count` elements of `size` bytes; empty if a typed field has the elements.

    Raises:
        TensorError: its length is wrong.
    """
    content = proto.tensor_content  # each access copies it
    if content and len(content) != count * size:
        raise TensorError(
            f"tensor_content has {len(content)} bytes, "
            f"a {type_name(proto.dtype)} tensor of shape {list(shape_of(proto))} has {count * size}"
        )
    return content


def missing(given: int, proto: TensorProto, shape: Shape) -> int:
    """Compute how often the last of `given` values is repeated to fill the tensor's shape.

    Raises:
        TensorError: there are too many values, none for a shape that has elements, or far too few.
    """
    count = math.prod(shape)
    if given > count or (given == 0 and count > 0):
        raise TensorError(
            f"{given} values do not fill a {type_name(proto.dtype)} tensor of shape {list(shape)}"
        )
    if count > given and count > _MOST_REPEATED:
        raise TensorError(f"{given} values are too few for {count} elements")
    return count - given


def pack(numbers: Sequence[float], dtype: DataType) -> bytes:
    """Write numbers as `tensor_content`.

    Raises:
        TensorError: a number that the type can't hold, or a type that can't be packed.
    """
    element = BFLOAT16_ELEMENT if dtype == BFLOAT16 else element_of(dtype)
    try:
        if dtype == BFLOAT16:
            return b"".join(map(bfloat16.pack, numbers))
        return struct.pack(f"<{len(numbers)}{element.code}", *numbers)
    except (struct.error, OverflowError) as error:
        raise TensorError(f"a number is out of {element.name}'s range") from error


def unpack(proto: TensorProto, shape: Shape | None = None) -> Sequence[float] | Sequence[bytes]:
    """Read all elements, in row-major order: numbers or booleans, or the bytes of DT_STRING.

    Args:
        proto: the tensor.
        shape: the result of `shape_of`, if it was called already.

    Raises:
        TensorError: as `reader`.
    """
    shape = shape_of(proto) if shape is None else shape
    return reader(proto, shape)(0, math.prod(shape))


def reader(proto: TensorProto, shape: Shape) -> Reader:
    """Check the elements, and give a function that reads those from `start` on and before `stop`.

    Reading some millions at once takes a hundred milliseconds, in which no other thread runs: see `pieces`.

    Raises:
        TensorError: a type without Python numbers (complex numbers, resources), or elements that do not fill
            the shape.
    """
    dtype = proto.dtype
    if dtype == STRING:
        return _field_reader(proto.string_val, proto, shape)
    if dtype == BFLOAT16:
        bits = bfloat16_reader(proto, shape)
        return lambda start, stop: bfloat16.to_numbers(bits(start, stop))
    element = element_of(dtype)
    code = element.code
    if not code:
        raise TensorError(f"{element.name} has no form as one number")
    size = struct.calcsize(f"<{code}")
    if content := content_of(proto, math.prod(shape), size):
        return lambda start, stop: struct.unpack_from(f"<{stop - start}{code}", content, start * size)
    field = getattr(proto, element.field)
    stored = _field_reader(field, proto, shape)
    if element.field not in ("int_val", "half_val"):
        return stored
    for start, stop in pieces(len(field)):
        _check_range(field[start:stop], element)
    if not element.stored:
        return stored
    return lambda start, stop: _halves(stored(start, stop))


def pieces(count: int) -> Iterator[tuple[int, int]]:
    """Divide so many elements into pieces, each read and written within some milliseconds."""
    return ((start, min(start + PIECE, count)) for start in range(0, count, PIECE))


def bfloat16_reader(proto: TensorProto, shape: Shape) -> Callable[[int, int], Sequence[int]]:
    """As `reader`, for the 16 bits of each element of a bfloat16 tensor."""
    if content := content_of(proto, math.prod(shape), 2):
        return lambda start, stop: struct.unpack_from(f"<{stop - start}H", content, 2 * start)
    for start, stop in pieces(len(proto.half_val)):
        _check_range(proto.half_val[start:stop], BFLOAT16_ELEMENT)
    return _field_reader(proto.half_val, proto, shape)


def _field_reader(field: Any, proto: TensorProto, shape: Shape) -> Callable[[int, int], list[Any]]:
    """Read from a typed field, whose last value may stand for all that follow."""
    missing(len(field), proto, shape)

    def read(start: int, stop: int) -> list[Any]:
        values = field[start:stop]
        return values + field[-1:] * (stop - start - len(values))

    return read


def _check_range(stored: Sequence[Any], element: Element) -> None:
    """Check values of a typed field that may hold others too: int_val a number that is no uint8."""
    try:
        struct.pack(f"<{len(stored)}{'H' if element.stored else element.code}", *stored)
    except struct.error as error:
        raise TensorError(f"{element.field} holds a number that is no {element.name}") from error


def _halves(bits: Sequence[int]) -> Sequence[float]:
    return struct.unpack(f"<{len(bits)}e", struct.pack(f"<{len(bits)}H", *bits))
