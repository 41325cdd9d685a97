"""Our tensor codec compared with TensorFlow's `make_tensor_proto` and `make_ndarray`."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keraserve_protocol import tensors
from keraserve_protocol.messages import TensorProto

NUMERIC = [
    np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64,
    np.uint8, np.uint16, np.uint32, np.uint64, np.bool_, np.complex64, np.complex128,
]  # fmt: skip
SHAPES = [(), (1,), (4,), (2, 3), (2, 0, 3), (0,), (1, 2, 2, 3)]
dtypes = pytest.mark.parametrize("dtype", NUMERIC, ids=lambda dtype: np.dtype(dtype).name)
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def values(dtype: type[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    kind = np.dtype(dtype)
    count = int(np.prod(shape))
    if kind.kind in "iu":
        info = np.iinfo(kind)
        numbers = np.array([info.min, info.max, 1, 0, 7], dtype=kind)
    elif kind.kind == "f":
        info = np.finfo(kind)
        numbers = np.array([info.min, info.max, -0.0, np.inf, np.nan], dtype=kind)
    elif kind.kind == "c":
        numbers = np.array([1 + 2j, -3.5j, np.inf, 0, -1], dtype=kind)
    else:
        numbers = np.array([True, False, True])
    return np.resize(numbers, count).astype(kind).reshape(shape)


def as_theirs(proto: TensorProto) -> tensor_pb2.TensorProto:
    return tensor_pb2.TensorProto.FromString(proto.SerializeToString())


def as_ours(proto: tensor_pb2.TensorProto) -> TensorProto:
    return TensorProto.FromString(proto.SerializeToString())


@dtypes
@shapes
@pytest.mark.parametrize("typed_fields", [False, True], ids=["content", "typed"])
def test_tensorflow_reads_ours(dtype: type[np.generic], shape: tuple[int, ...], typed_fields: bool) -> None:
    array = values(dtype, shape)
    read = tf.make_ndarray(as_theirs(tensors.to_proto(array, typed_fields=typed_fields)))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@dtypes
@shapes
def test_we_read_tensorflows(dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    array = values(dtype, shape)
    read = tensors.from_proto(as_ours(tf.make_tensor_proto(array)))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@dtypes
def test_we_read_the_repeated_last_value_as_tensorflow_does(dtype: type[np.generic]) -> None:
    proto = tensors.to_proto(values(dtype, (2,)), typed_fields=True)
    proto.tensor_shape.dim[0].size = 5
    np.testing.assert_array_equal(tensors.from_proto(proto), tf.make_ndarray(as_theirs(proto)))


@pytest.mark.parametrize("shape", [(), (3,), (2, 2), (0,)], ids=str)
def test_strings_are_read_both_ways(shape: tuple[int, ...]) -> None:
    words = [b"", b"\xff\x00", "größe".encode(), b"x"]
    array = np.resize(np.array(words, dtype=object), int(np.prod(shape))).reshape(shape)
    assert tf.make_ndarray(as_theirs(tensors.to_proto(array))).tolist() == array.tolist()
    theirs = tf.make_tensor_proto(array.tolist(), dtype=tf.string, shape=shape)
    assert tensors.from_proto(as_ours(theirs)).tolist() == array.tolist()


def test_every_type_of_ours_is_tensorflows() -> None:
    for dtype in NUMERIC:
        kind = tensors.to_proto(np.zeros((), dtype)).dtype
        assert tf.dtypes.as_dtype(int(kind)).as_numpy_dtype == dtype
