"""What is inside of bodies has limits, and no single step on it keeps the event loop."""

import gzip
import json
import threading
from typing import Any

import grpc
import grpc.aio
import pytest

from keraserve_gateway.grpc_api.server import GrpcServer
from keraserve_gateway.http import multipart
from keraserve_protocol import messages as m
from keraserve_protocol import open_inference, rest, services

JSON = {"content-type": "application/json"}
MODEL = "/v1/models/colours"


def metadata() -> m.GetModelMetadataResponse:
    signatures = m.SignatureDefMap()
    rows = signatures.signature_def["serving_default"]
    rows.inputs["x"].dtype = m.DataType.DT_FLOAT
    rows.inputs["x"].tensor_shape.dim.add(size=-1)
    rows.outputs["y"].dtype = m.DataType.DT_FLOAT
    whole = signatures.signature_def["whole"]
    whole.inputs["x"].dtype = m.DataType.DT_FLOAT
    whole.inputs["x"].tensor_shape.dim.add(size=3000)
    other = signatures.signature_def["other"]
    other.inputs["x"].dtype = m.DataType.DT_INT32
    other.inputs["x"].tensor_shape.unknown_rank = True
    return m.GetModelMetadataResponse(metadata={"signature_def": m.pack_signatures(signatures)})


class Server:
    """A model server that keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[Any] = []

    async def metadata(self, *_: Any) -> m.GetModelMetadataResponse:
        return metadata()

    async def predict(self, request: m.PredictRequest, *_: Any) -> m.PredictResponse:
        self.requests.append(request)
        response = m.PredictResponse(outputs={"y": m.TensorProto(dtype=m.DataType.DT_FLOAT, float_val=[1])})
        response.outputs["y"].tensor_shape.dim.add(size=1)
        return response

    async def classify(self, request: m.ClassificationRequest, *_: Any) -> m.ClassificationResponse:
        self.requests.append(request)
        response = m.ClassificationResponse(model_spec=m.model_spec("colours", version=1))
        for _ in request.input.example_list.examples:
            response.result.classifications.add().classes.add(label="x", score=0.5)
        return response

    async def regress(self, request: m.RegressionRequest, *_: Any) -> m.RegressionResponse:
        self.requests.append(request)
        response = m.RegressionResponse()
        for _ in request.input.example_list.examples:
            response.result.regressions.add(value=1)
        return response


@pytest.fixture
async def requested(serve_faults, make):
    """A client of a gateway, and the model server that it asks."""
    server = Server()
    address = await serve_faults(
        {
            services.GET_MODEL_METADATA: server.metadata,
            services.PREDICT: server.predict,
            services.CLASSIFY: server.classify,
            services.REGRESS: server.regress,
        }
    )
    return await make(address), server


def full(unit: bytes, head: bytes, tail: bytes) -> bytes:
    count = ((16 << 20) - 4000) // len(unit)
    return head + unit * count + tail


def named(unit: str, head: str, tail: str) -> bytes:
    return (head + ",".join(unit % number for number in range(1_200_000)) + tail).encode()


EXAMPLES = full(b'{"a":1},', b'{"examples":[', b'{"a":1}]}')
FEATURES = named('"%x":1', '{"examples":[{', "}]}")
CASES = {
    "examples": (":classify", EXAMPLES, 413),
    "examples to regress": (":regress", EXAMPLES, 413),
    "empty examples": (":classify", full(b"{},", b'{"examples":[', b"{}]}"), 413),
    "one example of many features": (":classify", FEATURES, 413),
    "keys": (":predict", named('"%x":1', "{", "}"), 413),
    "objects": (":predict", full(b'{"x":1},', b'{"instances":[', b'{"x":1}]}'), 413),
    "strings": (":predict", full(b'"",', b'{"instances":[', b'""]}'), 413),
    "empty lists": (":predict", full(b"[],", b'{"instances":[', b"[]]}"), 413),
    "numbers, then a text": (":predict", full(b"1,", b'{"instances":[', b'"x"]}'), 413),
    "white space": (":predict", full(b" ", b"{", b"}"), 400),
    "white space in a list": (":predict", full(b" ", b'{"instances":[', b"]}"), 400),
    "long numbers": (":predict", full(b"9" * 4000 + b",", b'{"instances":[', b"1]}"), 413),
    "brackets": (":predict", full(b"[", b'{"instances":', b""), 413),
    "no JSON": (":predict", full(b"x", b"", b""), 400),
    "an emoji": (":predict", full("😀".encode(), b'{"instances":["', b'"]}'), 400),
    "inputs": ("/infer", named('{"name":"%x"}', '{"inputs":[', "]}"), 413),
    "numbers": (
        "/infer",
        full(b"1,", b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[', b"1]}]}"),
        413,
    ),
}


@pytest.mark.shows("too-large")
@pytest.mark.parametrize("case", CASES)
async def test_small_requests_that_expand_are_rejected_cheaply(requested, case: str) -> None:
    gateway, server = requested
    call, body, status = CASES[case]
    path = f"/v2/models/colours{call}" if call == "/infer" else f"{MODEL}{call}"
    sent = gzip.compress(body, 1)
    response = await gateway.post(path, content=sent, headers={**JSON, "content-encoding": "gzip"})
    assert response.status_code == status, response.text[:300]
    assert len(response.text) < 600
    assert not server.requests


async def test_large_bodies_are_parsed_in_a_thread(requested, monkeypatch) -> None:
    gateway, server = requested
    threads: list[str] = []

    def spy(module: Any, name: str) -> None:
        real = getattr(module, name)

        def function(*given: Any) -> Any:
            threads.append(threading.current_thread().name)
            return real(*given)

        monkeypatch.setattr(module, name, function)

    for module, name in ((rest, "load"), (rest, "parse_whole"), (open_inference, "parse")):
        spy(module, name)
    examples = json.dumps({"examples": [{"a": "x" * 100}] * 900}).encode()
    for path, body in (
        (f"{MODEL}:classify", examples),
        (f"{MODEL}:regress", examples),
        (f"{MODEL}:predict", json.dumps({"instances": [{"x": 1}, {"x": 2}], "a": "x" * 70_000}).encode()),
        (
            "/v2/models/colours/infer",
            json.dumps(
                {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}], "id": "x" * 70_000}
            ).encode(),
        ),
    ):
        threads.clear()
        assert (await gateway.post(path, content=body, headers=JSON)).status_code == 200
        assert threads, path
        assert all(name.startswith("body") for name in threads), threads
    assert len(server.requests) == 4


@pytest.mark.shows("examples, rows, elements, images", "KERASERVE_MAX_ROWS")
async def test_rows_and_elements_have_a_limit(requested, serve_faults, make) -> None:
    gateway, server = requested
    for body, status, says in (
        ({"instances": [1.5] * 1024}, 200, ""),
        (
            {"instances": [1.5] * 1025},
            413,
            "input 'x' has 1025 rows, 1024 are allowed in a request (max_rows)",
        ),
        ({"inputs": [1.5] * 1025}, 413, "1025 rows"),
        ({"instances": [1.5] * 3000, "signature_name": "whole"}, 200, ""),
        ({"instances": [1] * 3000, "signature_name": "other"}, 200, ""),
    ):
        response = await gateway.post(f"{MODEL}:predict", json=body)
        assert (response.status_code, says in response.text) == (status, True), response.text
    for shape, status in (([1024], 200), ([1025], 413)):
        tensor = {"name": "x", "datatype": "FP32", "shape": shape, "data": [1.5] * shape[0]}
        body = {"inputs": [tensor], "parameters": {"signature_name": "serving_default"}}
        assert (await gateway.post("/v2/models/colours/infer", json=body)).status_code == status
    for call in ("classify", "regress"):
        for count, status in ((1024, 200), (1025, 413)):
            response = await gateway.post(f"{MODEL}:{call}", json={"examples": [{"a": 1}] * count})
            assert response.status_code == status
    asked_before = len(server.requests)
    gateway = await make(gateway.app.state.gateway.settings.model_server, max_rows=2000, max_elements=1500)
    response = await gateway.post(f"{MODEL}:predict", json={"instances": [1.5] * 1501})
    assert response.status_code == 413
    assert response.json() == {
        "error": "the tensors have 1501 elements, 1500 are allowed in a request (max_elements)"
    }
    assert len(server.requests) == asked_before


async def test_a_signature_name_after_a_large_list_counts(requested) -> None:
    gateway, server = requested
    numbers = ",".join(["7"] * 900)
    body = f'{{"instances":[{numbers}],"signature_name":"other","more":[{numbers}]}}'
    for _ in range(2):  # the second time signatures are remembered
        response = await gateway.post(f"{MODEL}:predict", content=body.encode(), headers=JSON)
        assert response.status_code == 200, response.text
        assert server.requests[-1].model_spec.signature_name == "other"
        assert server.requests[-1].inputs["x"].dtype == m.DataType.DT_INT32


async def test_text_that_is_no_json_is_rejected(requested) -> None:
    gateway, server = requested
    good = '{"instances":[' + ",".join(["[7]"] * 600) + "]}"
    for old, new in (("[7],[7]", "[7],7[]"), ("[[7],", "[7[],"), ("]]}", "]]}}"), ('{"i', '\v{"i')):
        response = await gateway.post(f"{MODEL}:predict", content=good.replace(old, new, 1).encode())
        assert response.status_code == 400, new
        assert "not JSON" in response.json()["error"]
    assert not server.requests


@pytest.mark.shows("parts of a form")
@pytest.mark.parametrize("unit", [b"\r\n--ax", b"\r\n--a\rx", b"\r\n--a-x", b"\r\n--a\r\n\r\n"])
async def test_the_boundaries_of_a_form_have_a_limit(requested, unit: bytes) -> None:
    gateway, server = requested
    headers = {"content-type": "multipart/form-data; boundary=a"}
    body = full(unit, b"--a\r\n\r\n", b"\r\n--a--\r\n")
    response = await gateway.post(f"{MODEL}/images:classify", content=body, headers=headers)
    assert response.status_code == 413
    assert response.json()["detail"] == "more than 32 images (max_images) and 100 other fields in a form"
    assert not server.requests


async def test_a_large_form_is_parsed_in_a_thread(requested, red: bytes, monkeypatch) -> None:
    gateway, _ = requested
    threads: list[str] = []
    real = multipart.images

    def spy(*given: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(*given)

    monkeypatch.setattr(multipart, "images", spy)
    for text in ("short", "x" * 70_000):
        form = {"data": {"text": text}, "files": {"file": ("red.png", red)}}
        assert (await gateway.post(f"{MODEL}/images:classify", **form)).status_code == 200
    assert [name.startswith("body") for name in threads] == [False, True]


@pytest.mark.shows("KERASERVE_MAX_ROWS")
async def test_grpc_requests_have_the_same_limits(requested) -> None:
    gateway, server = requested
    parts = gateway.app.state.gateway
    front = GrpcServer("127.0.0.1:0", parts)
    await front.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{front.port}") as channel:
            stub = services.AsyncStub(channel)
            spec = m.model_spec("colours")
            claims = m.PredictRequest(model_spec=spec)
            claims.inputs["x"].CopyFrom(m.TensorProto(dtype=m.DataType.DT_UINT8, int_val=[1]))
            for size in (262_144, 28, 28, 1):
                claims.inputs["x"].tensor_shape.dim.add(size=size)
            assert len(claims.SerializeToString()) < 70
            examples = m.Input(example_list=m.ExampleList(examples=[b""] * 1025))
            for call, request, says in (
                (stub.predict, claims, "205520896 elements, 16777216 are allowed"),
                (stub.classify, m.ClassificationRequest(model_spec=spec, input=examples), "1025 examples"),
                (stub.regress, m.RegressionRequest(model_spec=spec, input=examples), "1025 examples"),
                (stub.multi_inference, m.MultiInferenceRequest(input=examples), "1025 examples"),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as rejected:
                    await call(request)
                assert rejected.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert says in (rejected.value.details() or "")
            assert not server.requests
            del examples.example_list.examples[1024:]
            response = await stub.classify(m.ClassificationRequest(model_spec=spec, input=examples))
            assert len(response.result.classifications) == 1024
            assert parts.bodies.held == 0
    finally:
        await front.stop(0)
