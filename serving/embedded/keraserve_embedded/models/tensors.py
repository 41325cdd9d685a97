"""TensorProto to arrays for TensorFlow, and TensorFlow's results to TensorProto, without a copy in between.

Numbers of `tensor_content` go to TensorFlow as a view of the message's bytes; results are read through a
view of TensorFlow's memory. bfloat16, which numpy lacks, goes through TensorFlow's codec.
"""

import math

import numpy as np

from keraserve_embedded.errors import InvalidRequestError
from keraserve_embedded.quiet_tensorflow import TensorFlowProto, tf
from keraserve_protocol import tensors
from keraserve_protocol.elements import STRING, shape_of
from keraserve_protocol.messages import DataType, TensorProto
from keraserve_protocol.tensors import Array, TensorError

_BFLOAT16 = np.dtype(tf.bfloat16.as_numpy_dtype)
_DT_BFLOAT16 = DataType.DT_BFLOAT16  # looked up once: an enum's name costs as much as a call each time


def decode(name: str, proto: TensorProto) -> Array:
    """Decode the input `name`; numbers are a view of the message's bytes where it has `tensor_content`.

    Raises:
        InvalidRequestError: an incomplete tensor.
    """
    try:
        if proto.dtype == STRING:
            _check_strings(proto)
        if proto.dtype == _DT_BFLOAT16:
            return _bfloat16(proto)
        return tensors.from_proto(proto)
    except ValueError as error:  # TensorError, and what TensorFlow's codec raises
        raise InvalidRequestError(f"tensor parsing error: {name}: {error}") from error


def encode(result: Array, *, as_content: bool) -> TensorProto:
    """Encode one result of a signature.

    Args:
        result: an array of any dtype that TensorFlow has, bfloat16 too.
        as_content: fill `tensor_content`, else the typed field (`float_val` and the like).
    """
    if result.dtype == _BFLOAT16:
        return TensorProto.FromString(tf.make_tensor_proto(result).SerializeToString())
    return tensors.to_proto(result, typed_fields=not as_content)


def type_name(dtype: int) -> str:
    """Name a DataType as TensorFlow does in its messages: `float`, `uint8`, `string`."""
    return DataType.Name(DataType.ValueType(dtype)).removeprefix("DT_").lower()


def _check_strings(proto: TensorProto) -> None:
    """Reject fewer strings than elements: the last would be repeated, and each copy takes memory."""
    elements = math.prod(dim.size for dim in proto.tensor_shape.dim)
    if len(proto.string_val) != elements:
        raise TensorError(f"{len(proto.string_val)} strings for {elements} elements")


def _bfloat16(proto: TensorProto) -> Array:
    if not proto.tensor_content:
        if all(dim.size for dim in proto.tensor_shape.dim):  # the typed field may repeat its last value
            raise TensorError("a bfloat16 tensor needs tensor_content")
        return np.zeros(shape_of(proto), _BFLOAT16)
    return tf.make_ndarray(TensorFlowProto.FromString(proto.SerializeToString()))
