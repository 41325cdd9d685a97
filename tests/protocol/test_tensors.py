"""The tensor codec by itself; `tests/contract/test_protocol_tensors.py` holds it against TensorFlow's."""

import random
import tracemalloc
from typing import Any

import numpy as np
import pytest

from keraserve_protocol import tensors
from keraserve_protocol.messages import DataType, TensorProto, TensorShapeProto
from keraserve_protocol.tensors import TensorError

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES = [*INTEGERS, "float16", "float32", "float64", "bool", "complex64", "complex128"]
FORMS = pytest.mark.parametrize("typed_fields", [False, True], ids=["content", "typed"])


def claim(*shape: int, **fields: Any) -> TensorProto:
    return TensorProto(
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape]), **fields
    )


@FORMS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(5))
def test_arrays_of_every_type_are_read_back(dtype: str, seed: int, typed_fields: bool) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(0, 4, size=generator.integers(0, 5)))
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    array = np.frombuffer(generator.bytes(size), dtype="u1")
    array = (array % 2 if dtype == "bool" else array).view(dtype).reshape(shape)
    with np.errstate(invalid="ignore"):  # random bytes are signalling NaNs too
        proto = tensors.to_proto(array, typed_fields=typed_fields)
        back = tensors.from_proto(TensorProto.FromString(proto.SerializeToString()))
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@FORMS
@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=">f4").reshape(2, 3, 4),
        np.arange(24).reshape(4, 6).T,
        np.arange(24)[::-3],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.broadcast_to(np.uint8(7), (2, 3)),
    ],
    ids=["big-endian", "transposed", "strided", "fortran", "broadcast"],
)
def test_memory_layout_does_not_show(array: np.ndarray, typed_fields: bool) -> None:
    back = tensors.from_proto(tensors.to_proto(array, typed_fields=typed_fields))
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    ("given", "wire"),
    [
        (b"ends in NUL\0", [b"ends in NUL\0"]),
        ([b"\0", b""], [b"\0", b""]),
        (["größe", b"\xff"], ["größe".encode(), b"\xff"]),
        (np.array(["a", "bc"]), [b"a", b"bc"]),
        (np.array([[b"a"], ["b"]], dtype=object), [b"a", b"b"]),
        ([], []),
    ],
)
def test_text_and_bytes_stay_whole(given: Any, wire: list[bytes]) -> None:
    if wire:
        assert list(tensors.to_proto(given).string_val) == wire
    proto = tensors.to_proto(np.array(wire, dtype=object))
    assert proto.dtype == DataType.DT_STRING
    assert tensors.from_proto(proto).tolist() == wire


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"dtype": DataType.DT_FLOAT, "float_val": [1.0, 2.0]}, [1.0, 2.0, 2.0, 2.0]),
        ({"dtype": DataType.DT_UINT8, "int_val": [9]}, [9, 9, 9, 9]),
        ({"dtype": DataType.DT_STRING, "string_val": [b"a", b"b"]}, [b"a", b"b", b"b", b"b"]),
        ({"dtype": DataType.DT_BOOL, "bool_val": [False, True]}, [False, True, True, True]),
        ({"dtype": DataType.DT_COMPLEX64, "scomplex_val": [1.0, 2.0]}, [1 + 2j] * 4),
        ({"dtype": DataType.DT_HALF, "half_val": [0x3C00]}, [1.0] * 4),
    ],
)
def test_the_last_value_is_repeated(fields: dict[str, Any], expected: list[Any]) -> None:
    read = tensors.from_proto(claim(2, 2, **fields))
    assert read.shape == (2, 2)
    assert read.ravel().tolist() == expected


@pytest.mark.parametrize(
    ("proto", "says"),
    [
        (claim(2, dtype=DataType.DT_FLOAT), "do not fill"),
        (claim(2, dtype=DataType.DT_FLOAT, float_val=[1, 2, 3]), "do not fill"),
        (claim(2, dtype=DataType.DT_STRING), "do not fill"),
        (claim(0, dtype=DataType.DT_FLOAT, float_val=[1]), "do not fill"),
        (claim(2, dtype=DataType.DT_FLOAT, tensor_content=b"1234567"), "7 bytes"),
        (claim(2, dtype=DataType.DT_UINT8, int_val=[1, 256]), "no DT_UINT8"),
        (claim(2, dtype=DataType.DT_UINT16, int_val=[-1]), "no DT_UINT16"),
        (claim(2, dtype=DataType.DT_HALF, half_val=[1 << 16]), "no DT_HALF"),
        (claim(2, dtype=DataType.DT_COMPLEX64, scomplex_val=[1, 2, 3]), "half a number"),
        (claim(-1, dtype=DataType.DT_FLOAT, float_val=[1]), "can't have the shape"),
        (claim(dtype=DataType.DT_BFLOAT16, half_val=[1]), "DT_BFLOAT16"),
        (claim(dtype=DataType.DT_INVALID), "DT_INVALID"),
        (claim(dtype=99), "DataType 99"),
        (claim(*[1] * 65, dtype=DataType.DT_FLOAT, float_val=[1]), "too large"),
        (claim(0, 1 << 62, 1 << 62, dtype=DataType.DT_FLOAT), "too large"),
        (TensorProto(dtype=DataType.DT_FLOAT, tensor_shape={"unknown_rank": True}), "known shape"),
    ],
)
def test_a_proto_that_is_no_tensor_says_why(proto: TensorProto, says: str) -> None:
    with pytest.raises(TensorError, match=says):
        tensors.from_proto(proto)


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 31,), (1 << 14, 1 << 14), (1 << 62, 1 << 62)], ids=str)
@pytest.mark.parametrize("kind", ["DT_DOUBLE", "DT_STRING"])
def test_a_huge_claim_costs_no_memory(shape: tuple[int, ...], kind: str) -> None:
    field = {"double_val": [0.0]} if kind == "DT_DOUBLE" else {"string_val": [b""]}
    tracemalloc.start()
    try:
        with pytest.raises(TensorError):
            tensors.from_proto(claim(*shape, dtype=kind, **field))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="object"),
        None,
        {"a": 1},
        [[1], [1, 2]],
        [b"a", [b"b"]],
        ["a", 1],
        np.datetime64("2026-01-01"),
        1 << 70,
    ],
    ids=repr,
)
def test_values_that_are_no_tensor_are_rejected(value: Any) -> None:
    with pytest.raises(TensorError):
        tensors.to_proto(value)


def test_broken_bytes_are_a_tensor_or_a_tensor_error() -> None:
    """Whatever parses as a TensorProto either decodes or raises TensorError, nothing else."""
    dice = random.Random(7)
    whole = [tensors.to_proto(np.arange(6, dtype=dtype).reshape(2, 3)) for dtype in ("f4", "u1", "i8")]
    whole += [tensors.to_proto(np.ones((2, 2), dtype), typed_fields=True) for dtype in ("f2", "c8", "?")]
    decoded = 0
    for _ in range(3000):
        data = bytearray(dice.choice(whole).SerializeToString())
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            proto = TensorProto.FromString(bytes(data))
        except Exception:  # noqa: S112 (protobuf's own DecodeError: not a message)
            continue
        try:
            tensors.from_proto(proto)
            decoded += 1
        except TensorError:
            pass
    assert decoded > 100


def test_numbers_of_tensor_content_are_not_copied() -> None:
    read = tensors.from_proto(tensors.to_proto(np.arange(1000.0)))
    assert not read.flags.owndata
    assert not read.flags.writeable
