"""Numpy arrays to and from `TensorProto`, TensorFlow's tensor on the wire.

The forms are those of tensorflow/core/framework/tensor.proto: `tensor_content` holds the elements in
row-major order, little-endian; or one of the typed fields holds them, where a shorter list than the shape
has elements means that its last value is repeated.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from keraserve_protocol.messages import DataType, TensorProto, TensorShapeProto

Array = npt.NDArray[Any]


class TensorError(ValueError):
    """An array that has no TensorProto, or a TensorProto that is not a whole tensor."""


@dataclass(frozen=True)
class _Element:
    dtype: np.dtype[Any]
    field: str
    bits: np.dtype[Any] | None = None  # how the typed field stores it, where not as the number itself


_ELEMENTS: dict[DataType, _Element] = {
    DataType.DT_FLOAT: _Element(np.dtype(np.float32), "float_val"),
    DataType.DT_DOUBLE: _Element(np.dtype(np.float64), "double_val"),
    DataType.DT_HALF: _Element(np.dtype(np.float16), "half_val", np.dtype(np.uint16)),
    DataType.DT_INT32: _Element(np.dtype(np.int32), "int_val"),
    DataType.DT_INT16: _Element(np.dtype(np.int16), "int_val"),
    DataType.DT_INT8: _Element(np.dtype(np.int8), "int_val"),
    DataType.DT_UINT8: _Element(np.dtype(np.uint8), "int_val"),
    DataType.DT_UINT16: _Element(np.dtype(np.uint16), "int_val"),
    DataType.DT_UINT32: _Element(np.dtype(np.uint32), "uint32_val"),
    DataType.DT_UINT64: _Element(np.dtype(np.uint64), "uint64_val"),
    DataType.DT_INT64: _Element(np.dtype(np.int64), "int64_val"),
    DataType.DT_BOOL: _Element(np.dtype(np.bool_), "bool_val"),
    DataType.DT_COMPLEX64: _Element(np.dtype(np.complex64), "scomplex_val", np.dtype(np.float32)),
    DataType.DT_COMPLEX128: _Element(np.dtype(np.complex128), "dcomplex_val", np.dtype(np.float64)),
}
_TYPES: dict[np.dtype[Any], DataType] = {element.dtype: kind for kind, element in _ELEMENTS.items()}


def numpy_dtype(dtype: DataType) -> np.dtype[Any]:
    """Give numpy's dtype of a TensorFlow one; strings are `object` (of bytes).

    Raises:
        TensorError: numpy has no such type (bfloat16, quantized types, resources).
    """
    if dtype == DataType.DT_STRING:
        return np.dtype(object)
    if dtype not in _ELEMENTS:
        raise TensorError(f"{_name(dtype)} has no numpy type")
    return _ELEMENTS[dtype].dtype


def to_proto(array: npt.ArrayLike, *, typed_fields: bool = False) -> TensorProto:
    """Encode an array of any shape.

    Args:
        array: numbers, booleans, `str` or `bytes` (both become DT_STRING, `str` as UTF-8).
        typed_fields: fill `float_val` and its kind, as TensorFlow Serving answers by default, in place of
            `tensor_content`, which is faster to write and to read. Strings have only `string_val`.

    Raises:
        TensorError: a dtype that TensorFlow's tensors do not have, or an `object` that is no text or bytes.
    """
    values = np.asarray(array)
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in values.shape])
    if values.dtype.kind in "OSU":
        strings = [_to_bytes(value) for value in values.ravel().tolist()]
        return TensorProto(dtype=DataType.DT_STRING, tensor_shape=shape, string_val=strings)
    kind = _TYPES.get(values.dtype.newbyteorder("="))
    if kind is None:
        raise TensorError(f"numpy's {values.dtype} has no TensorFlow type")
    proto = TensorProto(dtype=kind, tensor_shape=shape)
    element = _ELEMENTS[kind]
    if typed_fields:
        flat = np.ascontiguousarray(values, dtype=element.dtype).reshape(-1)
        getattr(proto, element.field).extend(flat.view(element.bits or element.dtype).tolist())
    else:
        proto.tensor_content = _little_endian(values, element.dtype).tobytes()
    return proto


def from_proto(proto: TensorProto) -> Array:
    """Decode a tensor; numbers from `tensor_content` are a read-only view of the message's bytes.

    Returns:
        An array of the tensor's shape; DT_STRING gives `object` elements of type `bytes`.

    Raises:
        TensorError: unknown dtype, a negative or unknown dimension, or elements that do not fill the shape.
    """
    shape = _shape(proto)
    count = math.prod(shape)
    if proto.dtype == DataType.DT_STRING:
        return _filled(np.array([*proto.string_val, None], dtype=object)[:-1], count, proto).reshape(shape)
    element = _ELEMENTS.get(proto.dtype)
    if element is None:
        raise TensorError(f"tensors of type {_name(proto.dtype)} are not supported")
    if proto.tensor_content:
        if len(proto.tensor_content) != count * element.dtype.itemsize:
            raise TensorError(
                f"tensor_content has {len(proto.tensor_content)} bytes, "
                f"a {_name(proto.dtype)} tensor of shape {list(shape)} has {count * element.dtype.itemsize}"
            )
        wire = np.frombuffer(proto.tensor_content, dtype=element.dtype.newbyteorder("<"))
        return wire.astype(element.dtype, copy=False).reshape(shape)
    return _from_typed_field(proto, element, count).reshape(shape)


def _from_typed_field(proto: TensorProto, element: _Element, count: int) -> Array:
    stored = getattr(proto, element.field)
    try:
        values = np.array(stored, dtype=element.bits or element.dtype)
    except OverflowError as error:
        raise TensorError(f"{element.field} holds a number that is no {_name(proto.dtype)}") from error
    if values.nbytes % element.dtype.itemsize:
        raise TensorError(f"{element.field} holds half a number")
    return _filled(values.view(element.dtype), count, proto)


def _filled(values: Array, count: int, proto: TensorProto) -> Array:
    """Repeat the last value up to `count`, as a tensor with fewer values than elements means it."""
    if len(values) == count:
        return values
    if len(values) > count or len(values) == 0:
        shape = [dim.size for dim in proto.tensor_shape.dim]
        raise TensorError(f"{len(values)} values do not fill a {_name(proto.dtype)} tensor of shape {shape}")
    return np.concatenate([values, np.repeat(values[-1:], count - len(values))])


# A shape is a claim of a few bytes; believing it may cost gigabytes. TensorFlow's own limit is 2^63.
_MOST_ELEMENTS = 1 << 31


def _shape(proto: TensorProto) -> tuple[int, ...]:
    if proto.tensor_shape.unknown_rank:
        raise TensorError("a tensor needs a known shape")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if any(size < 0 for size in shape):
        raise TensorError(f"a tensor can't have the shape {list(shape)}")
    if math.prod(shape) > _MOST_ELEMENTS:
        raise TensorError(f"a tensor of shape {list(shape)} is too large")
    return shape


def _little_endian(values: Array, dtype: np.dtype[Any]) -> Array:
    wire = dtype.newbyteorder("<") if sys.byteorder == "big" else dtype
    return np.asarray(values, dtype=wire)


def _to_bytes(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise TensorError(f"a string tensor can't hold {type(value).__name__}")


def _name(dtype: DataType) -> str:
    return DataType.Name(dtype) if dtype in DataType.values() else f"DataType {dtype}"
