"""Large lists of numbers: packed as `json_tensors` packs them, or left to it."""

import json
import random
from typing import Any

import pytest

from keraserve_protocol import json_tensors, number_text, rest
from keraserve_protocol import messages as m
from keraserve_protocol.json_tensors import JsonError
from keraserve_protocol.messages import DataType
from keraserve_protocol.number_text import NumberText

DTYPES = {
    DataType.DT_UINT8: (0, 255),
    DataType.DT_INT8: (-128, 127),
    DataType.DT_INT16: (-(2**15), 2**15 - 1),
    DataType.DT_UINT16: (0, 2**16 - 1),
    DataType.DT_INT32: (-(2**31), 2**31 - 1),
    DataType.DT_UINT32: (0, 2**32 - 1),
    DataType.DT_INT64: (-(2**63), 2**63 - 1),
    DataType.DT_UINT64: (0, 2**64 - 1),
    DataType.DT_HALF: (-2047, 2047),
    DataType.DT_FLOAT: (-(2**24) + 1, 2**24 - 1),
    DataType.DT_DOUBLE: (-(2**53) + 1, 2**53 - 1),
}
FLOATS = {DataType.DT_HALF, DataType.DT_FLOAT, DataType.DT_DOUBLE}


def nested(shape: list[int], number: Any) -> Any:
    return [nested(shape[1:], number) for _ in range(shape[0])] if shape else number()


def fast(text: str, dtype: DataType) -> m.TensorProto | None:
    exact = 2**24 - 1 if dtype in FLOATS else None
    packed = number_text.finish(
        number_text.pack_numbers(NumberText(text.encode(), 0, len(text)), dtype, exact)
    )
    if packed is None:
        return None
    proto = m.TensorProto()
    packed.fill(proto)
    return proto


@pytest.mark.parametrize("dtype", DTYPES, ids=DataType.Name)
def test_both_ways_give_the_same_tensor(dtype: DataType) -> None:
    generator = random.Random(int(dtype))
    low, high = DTYPES[dtype]
    small = ([1], [7], [1, 1], [3, 1], [1, 3], [2, 3, 4], [1, 1, 1, 1], [5, 4, 1, 2])
    for shape in (*small, [20_000], [90, 90, 3]):
        value = nested(shape, lambda: generator.choice((low, high, generator.randint(low, high))))
        if dtype in FLOATS:
            value = nested(shape, lambda: round(generator.uniform(-9, 9), generator.randrange(17)))
        for separators in ((",", ":"), (", ", ": "), (" \n,\t", ": ")):
            text = json.dumps(value, separators=separators)
            assert fast(text, dtype) == json_tensors.to_tensor(value, dtype, "x"), (shape, separators)


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "",
        "[]",
        "[[],[]]",
        "[[1,2],[3]]",
        "[[1],2]",
        "[1,[2]]",
        "[[1]2]",
        "[1 2]",
        "[[1],,[2]]",
        "[1,,2]",
        "[,1]",
        "[1,]",
        "[[1,2]",
        "[1,2]]",
        "[1][2]",
        "[[1,2],[3,4]],[[5,6],[7,8]]",
        "[[[1],[2]],[[3]],[[4]]]",
        "[01]",
        "[1.]",
        "[+1]",
        "[-]",
        "[true]",
        '["1"]',
        "[null]",
        "[NaN]",
        "[1e999]",
        "[-1e999]",
        "[0x1]",
        "[1_000]",
        "[" + "1" * 70_000 + "]",
    ],
)
def test_irregular_lists_are_not_packed(text: str) -> None:
    assert fast(text, DataType.DT_FLOAT) is None
    assert fast(text, DataType.DT_INT32) is None


@pytest.mark.shows("numbers out of range")
@pytest.mark.parametrize(
    ("text", "dtype"),
    [
        ("[256]", DataType.DT_UINT8),
        ("[-1]", DataType.DT_UINT64),
        ("[1.5]", DataType.DT_INT32),
        ("[1.0]", DataType.DT_INT32),
        ("[16777216]", DataType.DT_FLOAT),
        ("[1e39]", DataType.DT_FLOAT),
        ("[1]", DataType.DT_STRING),
        ("[1]", DataType.DT_BOOL),
        ("[1]", DataType.DT_COMPLEX64),
        ("[1]", DataType.DT_BFLOAT16),
    ],
)
def test_numbers_that_do_not_fit_are_not_packed(text: str, dtype: DataType) -> None:
    assert fast(text, dtype) is None


def prediction(body: str, dtype: DataType = DataType.DT_FLOAT) -> m.PredictRequest:
    inputs = {"x": m.TensorInfo(dtype=dtype)}
    packed = number_text.finish(rest.pack(rest.parse_prediction(body.encode()), inputs))
    return rest.predict_request(packed, inputs, m.model_spec("a"))


LARGE = json.dumps([[n / 8, n] for n in range(5000)])


@pytest.mark.parametrize(
    ("body", "signature"),
    [
        (f'{{"instances": {LARGE}}}', "serving_default"),
        (f'{{"inputs":{LARGE}}}', "serving_default"),
        (f' {{ "signature_name" : "other", "instances" :{LARGE} }} ', "other"),
        (f'{{"instances": {LARGE}, "signature_name": "other"}}', "other"),
        (f'{{"inputs": {{"x": {LARGE}}}}}', "serving_default"),
        (f'{{"instances": {LARGE}, "more": [1]}}', "serving_default"),
        (f'{{"signature_name": "\\u0061", "instances": {LARGE}}}', "a"),
    ],
)
def test_large_lists_are_found_in_bodies(body: str, signature: str) -> None:
    request = prediction(body)
    assert request.model_spec.signature_name == signature
    assert request.inputs["x"] == json_tensors.to_tensor(json.loads(LARGE), DataType.DT_FLOAT, "x")


@pytest.mark.parametrize(
    ("list_", "dtype", "says"),
    [
        (LARGE[:-1] + ",[1]]", DataType.DT_FLOAT, "instances: x: lists at depth 1 differ in length"),
        (LARGE[:-1] + ',["a",1]]', DataType.DT_FLOAT, "a string where float32"),
        (LARGE[:-1] + ",[1e39,1]]", DataType.DT_FLOAT, "out of float32's range"),
        (LARGE[:-1] + ",[1e999,1]]", DataType.DT_DOUBLE, "out of float64's range"),
        (LARGE[:-1] + ",[16777217,1]]", DataType.DT_FLOAT, "would lose digits"),
        (LARGE, DataType.DT_INT32, "a number where int32"),
        (LARGE[:-1] + ",[1,2]", DataType.DT_FLOAT, "not JSON"),
        ("[" + " " * 20_000 + "]", DataType.DT_FLOAT, "at least one instance"),
    ],
)
def test_wrong_lists_are_named(list_: str, dtype: DataType, says: str) -> None:
    with pytest.raises(JsonError, match=says):
        prediction(f'{{"instances": {list_}}}', dtype)


@pytest.mark.shows("numbers out of range")
def test_infinity_may_be_written_but_not_result_from_rounding() -> None:
    written = prediction('{"instances": [Infinity, -Infinity, NaN]}')
    assert len(written.inputs["x"].tensor_content) == 12
    for number in ("1e999", "-1e999", "Infinity, 1e999"):
        with pytest.raises(JsonError, match="out of float32's range"):
            prediction(f'{{"instances": [{number}]}}')


def test_two_inputs_are_named_also_in_a_large_body() -> None:
    inputs = {name: m.TensorInfo(dtype=DataType.DT_FLOAT) for name in ("a", "b")}
    body = f'{{"instances": {LARGE}}}'.encode()
    with pytest.raises(JsonError, match="give them by name: a, b"):
        rest.predict_request(rest.parse_prediction(body), inputs, m.model_spec("a"))
