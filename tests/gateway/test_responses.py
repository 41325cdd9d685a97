"""A model server's responses that are malformed, or that JSON can't carry, are not the caller's error."""

from typing import Any

import pytest

from keraserve_protocol import messages as m
from keraserve_protocol import services

SPEC = m.model_spec("colours", version=1)
MODEL = "/v1/models/colours"
FLOAT, TYPES = m.DataType.DT_FLOAT, m.DataType
INFER = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}


def tensor(dtype: int, *sizes: int, **content: Any) -> m.TensorProto:
    proto = m.TensorProto(dtype=dtype, **content)  # type: ignore[arg-type]
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.fixture
async def responses(serve_faults, make):
    """A client of a gateway, and its model server's responses by call."""
    given: dict[Any, Any] = {}
    signatures = m.SignatureDefMap()
    default = signatures.signature_def["serving_default"]
    default.inputs["x"].dtype = FLOAT
    default.inputs["x"].tensor_shape.unknown_rank = True
    default.outputs["y"].dtype = FLOAT
    given[services.GET_MODEL_METADATA] = m.GetModelMetadataResponse(
        metadata={"signature_def": m.pack_signatures(signatures)}
    )

    def responds(call: services.Call[Any, Any]) -> Any:
        async def response(*_: Any) -> Any:
            return given[call]

        return response

    calls = (services.GET_MODEL_METADATA, services.PREDICT, services.CLASSIFY, services.REGRESS)
    return await make(await serve_faults({call: responds(call) for call in calls})), given


@pytest.mark.shows("bad-response", "no-json-form")
@pytest.mark.parametrize(
    ("output", "status", "says"),
    [
        (tensor(FLOAT, 2**31 - 1, float_val=[1]), 502, "1 values are too few"),
        (tensor(FLOAT, 2, float_val=[1, 2, 3]), 502, "3 values do not fill"),
        (tensor(FLOAT, 2**62, 2**62, float_val=[1]), 502, "is too large"),
        (tensor(FLOAT, -1, float_val=[1]), 502, "can't have the shape"),
        (tensor(FLOAT, 3, tensor_content=b"12345678"), 502, "tensor_content has 8 bytes"),
        (tensor(TYPES.DT_UINT8, 1, int_val=[300]), 502, "no uint8"),
        (tensor(9999, 1), 502, "9999"),
        (tensor(TYPES.DT_RESOURCE, 1), 501, "RESOURCE"),
        (tensor(TYPES.DT_COMPLEX64, 1, scomplex_val=[1, 2]), 501, "COMPLEX64"),
        (tensor(FLOAT, (1 << 22) + 1, tensor_content=bytes(4 + (4 << 22))), 501, "at most"),
    ],
)
async def test_malformed_outputs(responses, output: m.TensorProto, status: int, says: str) -> None:
    gateway, given = responses
    given[services.PREDICT] = m.PredictResponse(outputs={"y": output})
    for path, body in (
        (f"{MODEL}:predict", {"instances": [1]}),
        (f"{MODEL}:predict", {"inputs": [1]}),
        ("/v2/models/colours/infer", INFER),
    ):
        response = await gateway.post(path, json=body)
        assert response.status_code == status, response.text[:300]
        assert "output 'y'" in response.json()["error"]
        assert says in response.json()["error"]
    given[services.PREDICT] = m.PredictResponse()
    assert (await gateway.post(f"{MODEL}:predict", json={"inputs": [1]})).status_code == 502
    assert (await gateway.post("/v2/models/colours/infer", json=INFER)).status_code == 502


async def test_outputs_without_rows_need_the_column_form(responses) -> None:
    """The response is valid, but not in the form that the request names, which its caller can change."""
    gateway, given = responses
    given[services.PREDICT] = m.PredictResponse(outputs={"y": tensor(FLOAT, float_val=[1])})
    assert (await gateway.post(f"{MODEL}:predict", json={"instances": [1]})).status_code == 400
    assert (await gateway.post(f"{MODEL}:predict", json={"inputs": [1]})).json() == {"outputs": 1.0}


@pytest.mark.shows("NaN and infinities in", "bad-response")
@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
async def test_nan_and_infinities(responses, red: bytes, score: float) -> None:
    """TensorFlow Serving's calls write them as it does; an image's probability has to be a number."""
    gateway, given = responses
    word = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(score)]
    classes = m.ClassificationResponse(model_spec=SPEC)
    one = classes.result.classifications.add()
    one.classes.add(label="a", score=0.5)
    one.classes.add(label="b", score=score)
    given[services.CLASSIFY] = classes
    given[services.REGRESS] = m.RegressionResponse()
    given[services.REGRESS].result.regressions.add(value=score)
    given[services.PREDICT] = m.PredictResponse(outputs={"y": tensor(FLOAT, 1, float_val=[score])})
    response = await gateway.post(f"{MODEL}/images:classify?top_k=1", content=red)
    assert response.status_code == 502
    assert response.json()["detail"] == (
        "the model gave an image a probability that is no number: NaN, or infinite"
    )
    examples = {"examples": [{"a": 1}]}
    assert f'["b",{word}]' in (await gateway.post(f"{MODEL}:classify", json=examples)).text
    assert (await gateway.post(f"{MODEL}:regress", json=examples)).text == f'{{"results":[{word}]}}'
    assert (await gateway.post(f"{MODEL}:predict", json={"inputs": [1]})).text == f'{{"outputs":[{word}]}}'
    assert f'"data":[{word}]' in (await gateway.post("/v2/models/colours/infer", json=INFER)).text


@pytest.mark.shows("bad-response")
async def test_more_or_fewer_results_than_examples_are_502(responses, red: bytes) -> None:
    gateway, given = responses
    given[services.CLASSIFY] = m.ClassificationResponse(model_spec=SPEC)
    given[services.REGRESS] = m.RegressionResponse()
    for count in (0, 1, 3):
        given[services.CLASSIFY].ClearField("result")
        given[services.REGRESS].ClearField("result")
        for _ in range(count):
            given[services.CLASSIFY].result.classifications.add()
            given[services.REGRESS].result.regressions.add()
        for call in ("classify", "regress"):
            response = await gateway.post(f"{MODEL}:{call}", json={"examples": [{"a": 1}] * 2})
            assert response.status_code == 502
            assert f"returned {count} results for 2 examples" in response.json()["error"]
        response = await gateway.post(f"{MODEL}/images:classify", content=red)
        assert response.status_code == 502
        says = f"returned {count} results for 1" if count != 1 else "gave an image no classes"
        assert says in response.json()["detail"]


@pytest.mark.shows("bad-response")
async def test_responses_beyond_the_message_limit_are_502(responses, red: bytes) -> None:
    gateway, given = responses
    long = m.ClassificationResponse(model_spec=SPEC)
    long.result.classifications.add().classes.add(label="x" * (65 << 20), score=1)
    given[services.CLASSIFY] = long
    given[services.PREDICT] = m.PredictResponse(
        outputs={"y": tensor(FLOAT, 1, tensor_content=bytes(65 << 20))}
    )
    for path, sent in (
        (f"{MODEL}/images:classify", {"content": red}),
        (f"{MODEL}:classify", {"json": {"examples": [{"a": 1}]}}),
        (f"{MODEL}:predict", {"json": {"inputs": [1]}}),
        ("/v2/models/colours/infer", {"json": INFER}),
    ):
        response = await gateway.post(path, **sent)
        assert response.status_code == 502, path
        assert "response has more than 67108864 bytes" in response.text
