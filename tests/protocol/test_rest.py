"""The JSON of TensorFlow Serving's REST API; the cases are those of its documentation and its server."""

import json
import math
import random

import grpc
import numpy as np
import pytest

from keraserve_protocol import json_tensors, rest, tensors
from keraserve_protocol import messages as m
from keraserve_protocol.messages import DataType

SPEC = m.model_spec("half", version=3)
THREE = {
    "tag": m.TensorInfo(dtype=DataType.DT_STRING),
    "signal": m.TensorInfo(dtype=DataType.DT_INT64),
    "sensor": m.TensorInfo(dtype=DataType.DT_FLOAT),
}


def request(body: object, **inputs: DataType) -> m.PredictRequest:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name: m.TensorInfo(dtype=dtype) for name, dtype in inputs.items()} or THREE
    return rest.predict_request(rest.parse_prediction(text), named, SPEC)


def arrays(built: m.PredictRequest) -> dict[str, list[object]]:
    return {name: tensors.from_proto(proto).tolist() for name, proto in built.inputs.items()}


ROW = {"tag": "foo", "signal": [1, 2, 3], "sensor": [[1, 2], [3, 4]]}
OTHER = {"tag": "bar", "signal": [3, 4, 1], "sensor": [[4, 5], [6, 8]]}
BOTH = {
    "tag": [b"foo", b"bar"],
    "signal": [[1, 2, 3], [3, 4, 1]],
    "sensor": [[[1, 2], [3, 4]], [[4, 5], [6, 8]]],
}


def test_rows_and_columns_are_the_same_tensors() -> None:
    rows = request({"instances": [ROW, OTHER], "signature_name": "s"})
    columns = request({"inputs": {name: [ROW[name], OTHER[name]] for name in ROW}})
    assert arrays(rows) == arrays(columns) == BOTH
    assert rows.model_spec == m.model_spec("half", version=3, signature="s")
    assert columns.model_spec.signature_name == "serving_default"


@pytest.mark.parametrize(
    ("body", "dtype", "value"),
    [
        ({"instances": ["foo", "bar", "baz"]}, DataType.DT_STRING, [b"foo", b"bar", b"baz"]),
        ({"instances": [[[1, 2]], [[3, 4]]]}, DataType.DT_INT32, [[[1, 2]], [[3, 4]]]),
        ({"instances": [{"x": 1.5}, {"x": 2}]}, DataType.DT_DOUBLE, [1.5, 2.0]),
        ({"instances": [{"b64": "aW1hZ2UgYnl0ZXM="}]}, DataType.DT_STRING, [b"image bytes"]),
        ({"instances": [{"x": {"b64": "aW1hZ2UgYnl0ZXM"}}]}, DataType.DT_STRING, [b"image bytes"]),
        ({"instances": [["ü", {"b64": "/w=="}]]}, DataType.DT_STRING, [["ü".encode(), b"\xff"]]),
        ({"inputs": {"b64": "aW1h\nZ2Ug"}}, DataType.DT_STRING, b"image "),
        ({"inputs": 7}, DataType.DT_UINT64, 7),
        ({"inputs": [[True], [False]]}, DataType.DT_BOOL, [[True], [False]]),
        ({"inputs": {"x": [255], "more": 1}}, DataType.DT_UINT8, [255]),
        ({"inputs": [-(2**63), 2**63 - 1]}, DataType.DT_INT64, [-(2**63), 2**63 - 1]),
        ({"inputs": [2**64 - 1]}, DataType.DT_UINT64, [2**64 - 1]),
        ({"inputs": [[], []]}, DataType.DT_FLOAT, [[], []]),
        (b'{"inputs": [Infinity, -Infinity, 1e3]}', DataType.DT_FLOAT, [math.inf, -math.inf, 1000.0]),
        ({"inputs": [65504, 0.5]}, DataType.DT_DOUBLE, [65504.0, 0.5]),
        ({"inputs": [0.5, 2047]}, DataType.DT_HALF, [0.5, 2047.0]),
        ({"inputs": [65504, -2048]}, DataType.DT_HALF, [65504.0, -2048.0]),
        ({"inputs": [16777216, 3 << 100]}, DataType.DT_FLOAT, [16777216.0, float(3 << 100)]),
        ({"inputs": [1 << 62, 1]}, DataType.DT_DOUBLE, [float(1 << 62), 1.0]),
    ],
)
def test_one_input_is_read(body: object, dtype: DataType, value: object) -> None:
    built = request(body, x=dtype)
    assert arrays(built) == {"x": value}
    assert built.inputs["x"].dtype == dtype


@pytest.mark.shows("numbers out of range")
def test_nan_is_read() -> None:
    assert math.isnan(tensors.from_proto(request(b'{"inputs": NaN}', x=DataType.DT_FLOAT).inputs["x"]).item())


@pytest.mark.shows("numbers out of range", "bad-request")
@pytest.mark.parametrize(
    ("body", "dtype", "says"),
    [
        (b"", DataType.DT_FLOAT, "not JSON"),
        (b"[1]", DataType.DT_FLOAT, "a list"),
        (b'"x"', DataType.DT_FLOAT, "a string"),
        (b"null", DataType.DT_FLOAT, "null"),
        (b'{"inputs": ' + b"[" * 40 + b"]" * 40 + b"}", DataType.DT_FLOAT, "deeper"),
        ({}, DataType.DT_FLOAT, "either"),
        ({"instances": 5}, DataType.DT_FLOAT, "list"),
        ({"instances": {}}, DataType.DT_FLOAT, "list"),
        ({"inputs": 1, "signature_name": 5}, DataType.DT_FLOAT, "string"),
        ({"instances": [1, [2]]}, DataType.DT_FLOAT, "mixed at depth 1"),
        ({"instances": [[1], [1, 2]]}, DataType.DT_FLOAT, "depth 1 differ in length"),
        ({"instances": [1, {"x": 2}]}, DataType.DT_FLOAT, "mixes objects"),
        ({"instances": [{"x": 1}, {"y": 1}]}, DataType.DT_FLOAT, "instances[1]"),
        ({"instances": [{"x": 1, "y": 2}]}, DataType.DT_FLOAT, "instances[0]"),
        ({"inputs": {"y": 1}}, DataType.DT_FLOAT, "keys x"),
        ({"inputs": ["1"]}, DataType.DT_FLOAT, "a string where float32"),
        ({"inputs": [True]}, DataType.DT_FLOAT, "a boolean where float32"),
        ({"inputs": [1, True]}, DataType.DT_INT32, "a boolean where int32"),
        ({"inputs": [None]}, DataType.DT_FLOAT, "null where float32"),
        ({"inputs": [1.0]}, DataType.DT_INT32, "a number where int32"),
        ({"inputs": [1]}, DataType.DT_BOOL, "a number where bool"),
        ({"inputs": [256]}, DataType.DT_UINT8, "uint8's range"),
        ({"inputs": [-1]}, DataType.DT_UINT32, "uint32's range"),
        ({"inputs": [2**63]}, DataType.DT_INT64, "int64's range"),
        ({"inputs": [1e39]}, DataType.DT_FLOAT, "float32's range"),
        ({"inputs": [70000.0]}, DataType.DT_HALF, "float16's range"),
        ({"inputs": [10**400]}, DataType.DT_DOUBLE, "float64's range"),
        ({"inputs": [2**24 + 1]}, DataType.DT_FLOAT, "lose digits"),
        ({"inputs": [2049]}, DataType.DT_HALF, "lose digits"),
        ({"inputs": [-(2**53) - 1]}, DataType.DT_DOUBLE, "lose digits"),
        ({"inputs": [5]}, DataType.DT_STRING, "got a number"),
        ({"inputs": [{"b64": "a*b"}]}, DataType.DT_STRING, "base64"),
        ({"inputs": [{"b64": "aaaaa"}]}, DataType.DT_STRING, "base64"),
        ({"inputs": [{"b64": 5}]}, DataType.DT_STRING, "got an object"),
        ({"inputs": [1]}, DataType.DT_QINT8, "DT_QINT8"),
        ({"inputs": [257]}, DataType.DT_BFLOAT16, "an integer above 255 would lose digits as bfloat16"),
        ({"inputs": [3.4e38]}, DataType.DT_BFLOAT16, "out of bfloat16's range"),
        ({"inputs": [1]}, DataType.DT_COMPLEX64, "complex64"),
    ],
)
def test_values_that_do_not_fit_are_rejected(body: object, dtype: DataType, says: str) -> None:
    with pytest.raises(rest.JsonError) as rejected:
        request(body, x=dtype)
    assert says in str(rejected.value)


def test_several_inputs_need_names() -> None:
    for body in ({"instances": [1]}, {"inputs": [1]}, {"instances": [{"b64": "aa=="}]}):
        with pytest.raises(rest.JsonError, match="sensor, signal, tag"):
            request(body)


def response(layout: rest.Layout, **outputs: object) -> object:
    response = m.PredictResponse()
    for name, value in outputs.items():
        response.outputs[name].CopyFrom(tensors.to_proto(value))  # type: ignore[arg-type]
    return json.loads(rest.predict_response(response, layout))


@pytest.mark.shows("POST /v1/models/{m}:predict")
def test_responses_have_tensorflow_servings_form() -> None:
    rows, columns = rest.Layout.ROWS, rest.Layout.COLUMNS
    half = np.array([3.5, 4.0, 5.5], np.float32)
    assert response(rows, y=half) == {"predictions": [3.5, 4.0, 5.5]}
    assert response(columns, y=half) == {"outputs": [3.5, 4.0, 5.5]}
    assert response(columns, y=np.int64(2**62)) == {"outputs": 2**62}
    both = {"a": [[1, 2], [3, 4]], "b": ["x", "y"]}
    assert response(rows, **both) == {"predictions": [{"a": [1, 2], "b": "x"}, {"a": [3, 4], "b": "y"}]}
    assert response(columns, **both) == {"outputs": both}
    assert response(rows, raw_bytes=[b"\xff"]) == {"predictions": [{"b64": "/w=="}]}
    assert response(columns, a_bytes=[[b"image bytes"]], n=[True]) == {
        "outputs": {"a_bytes": [[{"b64": "aW1hZ2UgYnl0ZXM="}]], "n": [True]}
    }
    assert response(rows, text=[b"\xff", "ü"]) == {"predictions": [{"b64": "/w=="}, "ü"]}
    assert response(rows, empty=np.zeros((0, 3), np.float32)) == {"predictions": []}


def test_floats_are_the_shortest_that_read_back() -> None:
    values = np.array([0.2, 1e-7, 3e38, 16777215.0, -0.0, 1 / 3], np.float32)
    response = m.PredictResponse(outputs={"y": tensors.to_proto(values)})
    text = rest.predict_response(response, rest.Layout.ROWS)
    assert text.startswith(b'{"predictions":[0.2,1e-7,3e+38,16777215.0,-0.0,0.3333333')
    generator = np.random.default_rng(5)
    bits = generator.integers(0, 2**32, 5000, dtype=np.uint32).view(np.float32)
    finite = bits[np.isfinite(bits)]
    back = json.loads(
        rest.predict_response(m.PredictResponse(outputs={"y": tensors.to_proto(finite)}), rest.Layout.ROWS)
    )
    assert np.array_equal(np.array(back["predictions"]).astype(np.float32), finite)
    special = np.array([np.nan, np.inf, -np.inf], np.float16)
    response = m.PredictResponse(outputs={"y": tensors.to_proto(special)})
    assert rest.predict_response(response, rest.Layout.COLUMNS) == b'{"outputs":[NaN,Infinity,-Infinity]}'


@pytest.mark.parametrize(
    "outputs", [{}, {"a": [1], "b": [1, 2]}, {"a": 5}, {"a": np.array([1j])}], ids=lambda one: str(one)
)
def test_responses_that_json_can_not_represent_raise(outputs: dict[str, object]) -> None:
    with pytest.raises(rest.JsonError):
        response(rest.Layout.ROWS, **outputs)


def test_nested_lists_round_trip() -> None:
    generator = random.Random(3)
    for _ in range(200):
        shape = [generator.randrange(4) for _ in range(generator.randrange(5))]
        array = np.array([generator.randrange(-99, 99) for _ in range(math.prod(shape))], np.int32).reshape(
            shape
        )
        nested = array.tolist()
        proto = json_tensors.to_tensor(nested, DataType.DT_INT32, "x")
        assert json_tensors.nested(json_tensors.from_tensor(proto, binary=False)) == nested


def test_examples_and_context_are_read() -> None:
    body = {
        "signature_name": "classify",
        "examples": [
            {"image": {"b64": "aW1hZ2UgYnl0ZXM="}, "caption": "seaside", "n": [1, 2], "x": 0.5, "on": True},
            {"none": []},
        ],
    }
    built = rest.classification_request(json.dumps(body).encode(), SPEC)
    assert built.model_spec == m.model_spec("half", version=3, signature="classify")
    first, second = (m.Example.FromString(one) for one in built.input.example_list.examples)
    feature = first.features.feature
    assert list(feature["image"].bytes_list.value) == [b"image bytes"]
    assert list(feature["caption"].bytes_list.value) == [b"seaside"]
    assert list(feature["n"].int64_list.value) == [1, 2]
    assert list(feature["x"].float_list.value) == [0.5]
    assert list(feature["on"].int64_list.value) == [1]
    assert second.features.feature["none"].WhichOneof("kind") is None
    body["context"] = {"user": "me"}
    built = rest.regression_request(json.dumps(body).encode(), SPEC)
    with_context = built.input.example_list_with_context
    assert len(with_context.examples) == 2
    context = m.Example.FromString(with_context.context)
    assert list(context.features.feature["user"].bytes_list.value) == [b"me"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"examples": {}},
        {"examples": []},
        {"examples": [5]},
        {"examples": [{"a": None}]},
        {"examples": [{"a": [[1]]}]},
        {"examples": [{"a": {"x": 1}}]},
        {"examples": [{"a": [1, 0.5]}]},
        {"examples": [{"a": ["x", 1]}]},
        {"examples": [{"a": 2**63}]},
        {"examples": [{"a": 1e39}]},
        {"examples": [{"a": 1}], "context": 5},
        {"examples": [{"a": 1}], "signature_name": 5},
    ],
)
def test_wrong_examples_are_rejected(body: object) -> None:
    with pytest.raises(rest.JsonError):
        rest.classification_request(json.dumps(body).encode(), SPEC)


def test_classes_and_numbers_are_written() -> None:
    response = m.ClassificationResponse()
    one = response.result.classifications.add()
    one.classes.add(label="ü", score=0.2)
    one.classes.add(label="", score=1)
    response.result.classifications.add()
    assert rest.classification_response(response) == '{"results":[[["ü",0.2],["",1.0]],[]]}'.encode()
    regressions = m.RegressionResponse()
    regressions.result.regressions.add(value=3.5)
    regressions.result.regressions.add(value=0.1)
    assert rest.regression_response(regressions) == b'{"results":[3.5,0.1]}'


def test_a_status_has_every_field() -> None:
    response = m.GetModelStatusResponse()
    response.model_version_status.add(version=2**60, state=m.ModelVersionStatus.AVAILABLE)
    failed = response.model_version_status.add(version=1, state=m.ModelVersionStatus.END)
    failed.status.error_code, failed.status.error_message = 5, "no such file"
    assert json.loads(rest.status_response(response)) == {
        "model_version_status": [
            {
                "version": str(2**60),
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            },
            {
                "version": "1",
                "state": "END",
                "status": {"error_code": "NOT_FOUND", "error_message": "no such file"},
            },
        ]
    }


def test_metadata_has_every_field() -> None:
    signatures = m.SignatureDefMap()
    one = signatures.signature_def["serving_default"]
    one.method_name = "tensorflow/serving/predict"
    one.inputs["x"].CopyFrom(m.TensorInfo(name="x:0", dtype=DataType.DT_FLOAT))
    one.inputs["x"].tensor_shape.dim.add(size=-1)
    response = m.GetModelMetadataResponse(model_spec=SPEC)
    with pytest.raises(rest.JsonError):
        rest.metadata_response(response)
    response.metadata["signature_def"].CopyFrom(m.pack_signatures(signatures))
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert json.loads(rest.metadata_response(response)) == {
        "model_spec": {"name": "half", "signature_name": "", "version": "3"},
        "metadata": {
            "signature_def": {
                "signature_def": {
                    "serving_default": {
                        "inputs": {"x": {"name": "x:0", "dtype": "DT_FLOAT", "tensor_shape": shape}},
                        "outputs": {},
                        "method_name": "tensorflow/serving/predict",
                        "defaults": {},
                    }
                }
            }
        },
    }


def test_errors_and_statuses_are_tensorflow_servings() -> None:
    assert rest.error_response('a "quoted" ü') == '{"error":"a \\"quoted\\" ü"}'.encode()
    assert set(rest.HTTP_STATUS) == set(grpc.StatusCode)
