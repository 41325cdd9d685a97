"""Responses that are written in pieces have the values of their tensors, at every edge of a piece."""

import json
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keraserve_protocol import messages as m
from keraserve_protocol import open_inference, open_inference_responses, rest
from keraserve_protocol.elements import PIECE
from keraserve_protocol.json_text import FormError

SHAPES = [
    (PIECE,), (PIECE + 1,), (2 * PIECE - 1, 1), (3, PIECE), (3, PIECE + 1), (5, PIECE // 2),
    (7, 3, PIECE // 4), (2, 0, PIECE), (PIECE + 1, 0), (0, PIECE), (1, 1, 2 * PIECE),
]  # fmt: skip


def response(*arrays: Any) -> m.PredictResponse:
    return m.PredictResponse(outputs={f"y{index}": as_message(each) for index, each in enumerate(arrays)})


def as_message(array: Any) -> m.TensorProto:
    return m.TensorProto.FromString(tf.make_tensor_proto(array).SerializeToString())


def inferred(given: m.PredictResponse, binary: bool) -> Any:
    body = {
        "inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}],
        "parameters": {"binary_data_output": binary},
    }
    return open_inference_responses.reply(open_inference.parse(json.dumps(body).encode(), None), given)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "bool", "S3"])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_of_a_large_response(shape: tuple[int, ...], dtype: str) -> None:
    array = (np.arange(math.prod(shape)) % 119).reshape(shape).astype(dtype)
    expected = np.char.decode(array).tolist() if dtype == "S3" else array.tolist()
    given = response(array)
    assert json.loads(rest.predict_response(given, rest.Layout.ROWS)) == {"predictions": expected}
    assert json.loads(rest.predict_response(given, rest.Layout.COLUMNS)) == {"outputs": expected}
    [output] = json.loads(inferred(given, binary=False).header)["outputs"]
    assert output["data"] == np.array(expected, dtype=object).ravel().tolist()


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_two_large_outputs(shape: tuple[int, ...]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape)
    second = np.arange(shape[0])
    body = json.loads(rest.predict_response(response(array, second), rest.Layout.ROWS))
    rows = zip(array.tolist(), second.tolist(), strict=True)
    assert body == {"predictions": [{"y0": y, "y1": index} for y, index in rows]}


def test_a_value_that_stands_for_many_is_repeated() -> None:
    given = m.PredictResponse()
    given.outputs["y"].CopyFrom(m.TensorProto(dtype=m.DataType.DT_FLOAT, float_val=[0.5, 0.1]))
    given.outputs["y"].tensor_shape.dim.add(size=3 * PIECE)
    assert json.loads(rest.predict_response(given, rest.Layout.ROWS)) == {
        "predictions": [0.5, *[0.1] * (3 * PIECE - 1)]
    }


def test_words_for_what_is_no_number_are_written_in_every_piece() -> None:
    array = np.full(2 * PIECE + 1, 0.25, np.float32)
    array[[0, PIECE - 1, PIECE, 2 * PIECE]] = [np.nan, np.inf, -np.inf, np.nan]
    found = json.loads(rest.predict_response(response(array), rest.Layout.ROWS))["predictions"]
    assert np.array_equal(np.array(found, np.float32), array, equal_nan=True)


def test_bytes_that_are_no_text_are_found_in_a_later_piece() -> None:
    array = np.array([b"text"] * (2 * PIECE) + [b"\xff"], object)
    with pytest.raises(FormError, match="no text"):
        inferred(response(array), binary=False)
    found = json.loads(rest.predict_response(response(array), rest.Layout.ROWS))["predictions"]
    assert found[-2:] == ["text", {"b64": "/w=="}]
