"""Values on their way into tensors and out of JSON."""

from typing import Any

import numpy as np
import pytest

from keraserve_client import _errors as errors
from keraserve_client import _tensors as tensors
from keraserve_client._types import Signature, TensorSpec

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
    ],
)
def test_values_are_cast_where_nothing_is_lost(values: Any, dtype: str, expected: np.ndarray) -> None:
    fitted = tensors.fit(values, Signature({"x": TensorSpec(dtype, None)}, {}, ""))["x"]
    assert fitted.dtype == expected.dtype
    np.testing.assert_array_equal(fitted, expected)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([-1], "uint8"), ([40000], "int16"), ([0.5], "int32"), ([True], "float32"), (["a"], "float32"),
     ([[1], [1, 2]], "float32"), ([[b"a"], [b"a", b"b"]], "string"), ([None], "string"), ([1j], "float32"),
     ([1], "bfloat16"), ([1], "bool"), ([1 << 70], "int64")],
)  # fmt: skip
def test_values_that_would_change_are_refused(values: Any, dtype: str) -> None:
    with pytest.raises(errors.InvalidInput, match="input 'x'"):
        tensors.fit(values, Signature({"x": TensorSpec(dtype, None)}, {}, ""))


def test_several_inputs_need_names() -> None:
    two = Signature({"a": ONE.inputs["x"], "b": ONE.inputs["x"]}, {}, "")
    with pytest.raises(errors.InvalidInput, match="has 2 inputs, give them by name: a, b"):
        tensors.fit([1], two)
    with pytest.raises(errors.InvalidInput, match="inputs are a, b, not a"):
        tensors.fit({"a": [1]}, two)


def test_complex_numbers_have_no_json() -> None:
    with pytest.raises(errors.InvalidInput, match="GrpcClient"):
        tensors.to_json(np.array([1j]))


@pytest.mark.parametrize("outputs", [[1], [{"b64": 1}], [{"c64": ""}], [None], [{"b64": "="}]])
def test_outputs_that_are_no_strings_are_invalid(outputs: Any) -> None:
    with pytest.raises(errors.InvalidAnswer):
        tensors.from_json(outputs, ONE)
