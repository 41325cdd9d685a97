"""Numpy arrays to and from `TensorProto`, TensorFlow's serialized tensor; see `elements` for its forms."""

import math
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from keraserve_protocol.elements import (
    ELEMENTS,
    STRING,
    Element,
    Shape,
    content_of,
    element_of,
    missing,
    shape_of,
    type_name,
)
from keraserve_protocol.elements import TensorError as TensorError
from keraserve_protocol.messages import TensorProto

Array = npt.NDArray[Any]

_TYPES = {np.dtype(element.name): dtype for dtype, element in ELEMENTS.items()}


def to_proto(array: npt.ArrayLike, *, typed_fields: bool = False) -> TensorProto:
    """Encode an array of any shape.

    Args:
        array: numbers, booleans, `str` or `bytes` (both become DT_STRING, `str` as UTF-8).
        typed_fields: fill `float_val` and the like, as TensorFlow Serving does by default, in place of
            `tensor_content`, which is faster to write and to read. Strings have only `string_val`.

    Raises:
        TensorError: a dtype that TensorFlow's tensors do not have, or an `object` that is no text or bytes.
    """
    values = _as_array(array)
    proto = TensorProto()
    for size in values.shape:
        proto.tensor_shape.dim.add(size=size)
    if values.dtype.kind in "OSU":
        proto.dtype = STRING
        proto.string_val.extend([_to_bytes(value) for value in values.ravel().tolist()])
        return proto
    kind = _TYPES.get(values.dtype.newbyteorder("="))
    if kind is None:
        raise TensorError(f"numpy's {values.dtype} has no TensorFlow type")
    proto.dtype = kind
    element = ELEMENTS[kind]
    if typed_fields:
        flat = np.ascontiguousarray(values, dtype=element.name).reshape(-1)
        getattr(proto, element.field).extend(flat.view(element.stored or element.name).tolist())
    else:
        proto.tensor_content = _little_endian(values, np.dtype(element.name)).tobytes()
    return proto


def from_proto(proto: TensorProto) -> Array:
    """Decode a tensor; numbers from `tensor_content` are a read-only view of the message's bytes.

    Returns:
        An array of the tensor's shape; DT_STRING gives `object` elements of type `bytes`.

    Raises:
        TensorError: unknown dtype, a negative or unknown dimension, or elements that do not fill the shape.
    """
    shape = shape_of(proto)
    if proto.dtype == STRING:
        return _filled(np.array([*proto.string_val, None], dtype=object)[:-1], proto, shape).reshape(shape)
    element = element_of(proto.dtype)
    dtype = np.dtype(element.name)
    if content := content_of(proto, math.prod(shape), dtype.itemsize):
        wire = np.frombuffer(content, dtype=dtype.newbyteorder("<"))
        return wire.astype(dtype, copy=False).reshape(shape)
    return _from_typed_field(proto, element, shape).reshape(shape)


def _as_array(array: npt.ArrayLike) -> Array:
    try:
        values = np.asarray(array)
    except UnicodeDecodeError:  # bytes beside text
        return np.asarray(array, dtype=object)
    except ValueError as error:
        raise TensorError("the rows of a tensor must be of one length") from error
    # Numpy's text and bytes types drop NULs at the end, which encoded images have.
    return np.asarray(array, dtype=object) if values.dtype.kind in "SU" else values


def _from_typed_field(proto: TensorProto, element: Element, shape: Shape) -> Array:
    stored: Array = np.array(getattr(proto, element.field))
    values = stored.astype(element.stored or element.name)
    if stored.dtype.kind in "iu" and not np.array_equal(values, stored):
        raise TensorError(f"{element.field} holds a number that is no {type_name(proto.dtype)}")
    if values.nbytes % np.dtype(element.name).itemsize:
        raise TensorError(f"{element.field} holds half a number")
    return _filled(values.view(element.name), proto, shape)


def _filled(values: Array, proto: TensorProto, shape: Shape) -> Array:
    more = missing(len(values), proto, shape)
    return np.concatenate([values, np.repeat(values[-1:], more)]) if more else values


def _little_endian(values: Array, dtype: np.dtype[Any]) -> Array:
    wire = dtype.newbyteorder("<") if sys.byteorder == "big" else dtype
    return np.asarray(values, dtype=wire)


def _to_bytes(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise TensorError(f"a string tensor can't hold {type(value).__name__}")
