"""Values for tensors: cast where nothing is lost, else rejected."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keraserve_client import _casting as casting
from keraserve_client import _errors as errors
from keraserve_client import _tensors as tensors
from keraserve_client._types import Signature, TensorSpec
from keraserve_protocol.tensors import from_proto

ONE = Signature({"x": TensorSpec("int16", (None,))}, {"y": TensorSpec("string", None)}, "")


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2], "int8", np.array([1, 2], np.int8)),
        (np.array([1, 2], np.uint64), "int32", np.array([1, 2], np.int32)),
        (np.array([0.5]), "float32", np.array([0.5], np.float32)),
        ([1, 2], "float32", np.array([1, 2], np.float32)),
        ([True], "bool", np.array([True])),
        ([], "uint8", np.array([], np.uint8)),
        ([1], "complex64", np.array([1], np.complex64)),
        ([16777216, -16777216], "float32", np.array([16777216, -16777216], np.float32)),
        ([2**62, 0.5], "float64", np.array([2.0**62, 0.5])),
        (np.array([2**40]), "float32", np.array([2**40], np.float32)),
        (np.array([1e-60, 0.1]), "float32", np.array([0, 0.1], np.float32)),
        (np.array([0.1], np.longdouble), "float32", np.array([0.1], np.float32)),
        ([np.array([1, 2], np.uint8), [3, 4]], "float32", np.array([[1, 2], [3, 4]], np.float32)),
        (np.ma.masked_array([1, 2], [False, False]), "int32", np.array([1, 2], np.int32)),
    ],
)
def test_values_are_cast_where_nothing_is_lost(values: Any, dtype: str, expected: np.ndarray) -> None:
    fitted = from_proto(tensors.fit(values, Signature({"x": TensorSpec(dtype, None)}, {}, ""))["x"])
    assert fitted.dtype == expected.dtype
    np.testing.assert_array_equal(fitted, expected)


REJECTED = {
    "out of its range": [
        ([-1], "uint8"), ([40000], "int16"), (np.array([1e39]), "float32"), ([70000.0], "float16"),
        ([1e39 + 1j], "complex64"), ([3.4e38], "bfloat16"), ([-1, 2**63], "int64"),
    ],
    "that it would round": [
        ([16777217], "float32"), (np.array([16777217]), "float32"), ([2**53 + 1], "float64"),
        ([300, 70000], "float16"), ([257], "bfloat16"), ([16777217], "complex64"),
        ([2**53 + 1, 0.5], "float64"), ([2**64 - 1, -1], "float64"),
        ([np.array([2**53 + 1]), np.array([0.5])], "float64"), ([np.uint64(2**64 - 1), 0.5], "float64"),
    ],
    "booleans among numbers": [([True, 2], "int32"), ([[1.0], [False]], "float32"), ([np.True_, 1], "uint8")],
    "given are": [
        ([0.5], "int32"), ([True], "float32"), (["a"], "float32"), ([1j], "float32"), ([1], "bool"),
        (np.array(["2026-01-01"], "datetime64[D]"), "int64"), ([None], "int8"), ([1, "a"], "int8"),
    ],
    "or objects": [(np.array([1], object), "int64")],
    "more than 64 bits": [([1 << 70], "int64"), ([1 << 70], "float32"), ([10**400, 0.5], "float64")],
    "rows of unequal length": [
        ([[1], [1, 2]], "float32"), ([[b"a"], [b"a", b"b"]], "string"), ([1, [2]], "int8"),
    ],
    "give text or bytes": [([None], "string"), ([1], "string"), (1.5, "string")],
    "surrogate": [(["\ud800"], "string")],
    "masked": [
        (np.ma.masked_array([1, 2], [True, False]), "int32"), ([np.ma.masked, 1], "float32"),
        (np.ma.masked_array([b"a"], [True]), "string"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("says", "values", "dtype"),
    [(says, values, dtype) for says, cases in REJECTED.items() for values, dtype in cases],
)
def test_values_that_would_change_are_rejected(says: str, values: Any, dtype: str) -> None:
    with pytest.raises(errors.InvalidInput, match=rf"input 'x'.*{says}"):
        tensors.fit(values, Signature({"x": TensorSpec(dtype, None)}, {}, ""))


def test_types_that_numpy_lacks_are_rejected() -> None:
    spec = Signature({"x": TensorSpec("qint8", None)}, {}, "")
    with pytest.raises(errors.NotSupported, match="input 'x' is qint8, which numpy doesn't have; export"):
        tensors.fit([1], spec)


NUMBERS = ["uint8", "int16", "int64", "uint64", "float16", "float32", "float64", "bfloat16", "complex64"]


@settings(max_examples=300, deadline=None, database=None)
@given(
    values=st.lists(st.integers(-(2**64), 2**64) | st.floats(allow_nan=False), min_size=1, max_size=4),
    dtype=st.sampled_from(NUMBERS),
)
def test_a_cast_keeps_whole_numbers_and_decimals_to_their_digits(values: list[float], dtype: str) -> None:
    """What is not rejected: whole numbers stay the same, decimals become the nearest, none infinite."""
    try:
        found = casting.to_numbers(values, dtype, "x").tolist()
    except errors.InvalidInput:
        return
    digits = {"float16": 2**-11, "float32": 2**-24, "float64": 0, "bfloat16": 2**-8, "complex64": 2**-24}
    smallest = {"float16": 2**-24, "float32": 2**-149, "bfloat16": 2**-133, "complex64": 2**-149}
    for value, number in zip(values, found, strict=True):
        if isinstance(value, int) or value in (float("inf"), float("-inf")):
            assert number == value
        else:
            assert abs(number - value) <= abs(value) * digits[dtype] + smallest.get(dtype, 0)


@settings(max_examples=200, deadline=None, database=None)
@given(st.lists(st.floats(width=32), min_size=1))
def test_bfloat16_is_the_nearest(values: list[float]) -> None:
    numbers = np.array(values, np.float32)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        bits = casting.to_bfloat16(numbers)
        found = casting.from_bfloat16(bits)
        below, above = casting.from_bfloat16(bits - np.uint16(1)), casting.from_bfloat16(bits + np.uint16(1))
        assert (np.isnan(found) == np.isnan(numbers)).all()
        distance = np.abs(found.astype(np.float64) - numbers)
        for other in (below, above):
            further = np.abs(other.astype(np.float64) - numbers) >= distance
            assert (further | ~np.isfinite(other) | ~np.isfinite(found)).all()


def test_several_inputs_need_names() -> None:
    two = Signature({"a": ONE.inputs["x"], "b": ONE.inputs["x"]}, {}, "")
    with pytest.raises(errors.InvalidInput, match="has 2 inputs, give them by name: a, b"):
        tensors.fit([1], two)
    with pytest.raises(errors.InvalidInput, match="inputs are a, b, not a"):
        tensors.fit({"a": [1]}, two)
