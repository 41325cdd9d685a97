"""A model server that hangs, is unavailable, or sends errors and malformed responses."""

import asyncio
from typing import Any

import grpc
import httpx2
import pytest
import structlog

from keraserve_protocol import messages as m
from keraserve_protocol import services

IMAGES = "/v1/models/colours/images:classify"
PREDICT = "/v1/models/colours:predict"


def rejects(code: grpc.StatusCode, detail: str = "what it said") -> Any:
    async def response(request: Any, context: Any) -> Any:
        await context.abort(code, detail)

    return response


async def hangs(request: Any, context: Any) -> Any:
    await asyncio.sleep(60)


def metadata(request: m.GetModelMetadataRequest, context: Any) -> m.GetModelMetadataResponse:
    signatures = m.SignatureDefMap()
    signatures.signature_def["classify"].method_name = "tensorflow/serving/classify"
    signatures.signature_def["serving_default"].inputs["x"].dtype = m.DataType.DT_FLOAT
    return m.GetModelMetadataResponse(metadata={"signature_def": m.pack_signatures(signatures)})


def _checked(response: httpx2.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["x-request-id"]
    assert "127.0.0.1" not in response.text
    assert "Traceback" not in response.text
    return response.text


@pytest.mark.shows("Retry-After", "model-server-failed", "not-implemented-there")
@pytest.mark.parametrize(
    ("code", "status", "retry"),
    [
        (grpc.StatusCode.UNAVAILABLE, 503, True),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429, True),
        (grpc.StatusCode.INTERNAL, 500, False),
        (grpc.StatusCode.UNKNOWN, 500, False),
        (grpc.StatusCode.UNIMPLEMENTED, 501, False),
        (grpc.StatusCode.FAILED_PRECONDITION, 400, False),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504, False),
        (grpc.StatusCode.UNAUTHENTICATED, 500, False),
    ],
)
async def test_a_status_of_the_model_server_becomes_an_http_status(
    make, serve_faults, red: bytes, code: grpc.StatusCode, status: int, *, retry: bool
):
    calls = (services.CLASSIFY, services.PREDICT, services.REGRESS, services.GET_MODEL_STATUS)
    address = await serve_faults(
        dict.fromkeys(calls, rejects(code)) | {services.GET_MODEL_METADATA: metadata}
    )
    gateway = await make(address)
    responses = [
        await gateway.post(IMAGES, content=red),
        await gateway.post(PREDICT, json={"instances": [1.5]}),
        await gateway.post("/v1/models/colours:regress", json={"examples": [{"x": 1}]}),
        await gateway.get("/v1/models/colours"),
        await gateway.get("/v1/models"),
    ]
    for response in responses:
        _checked(response, status)
        assert ("retry-after" in response.headers) is retry


@pytest.mark.shows("so is what a")
@pytest.mark.parametrize(("closed", "status"), [(1, 200), (2, 503)])
async def test_a_call_that_a_stopping_server_closed_is_sent_once_more(
    make, serve_faults, closed: int, status: int
):
    """It closes the calls that no handler has begun, with this status."""
    requested: list[str] = []

    async def responses(request: m.GetModelStatusRequest, context: Any) -> m.GetModelStatusResponse:
        requested.append(request.model_spec.name)
        if len(requested) <= closed:
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        response = m.GetModelStatusResponse()
        response.model_version_status.add(version=1, state=30)
        return response

    gateway = await make(await serve_faults({services.GET_MODEL_STATUS: responses}))
    _checked(await gateway.get("/v1/models/colours"), status)
    assert requested == ["colours"] * 2  # and no probe whether it hangs


class Changing:
    """A model whose one input has a dtype that changes; records its calls."""

    dtype = m.DataType.DT_FLOAT
    rejects = False

    def __init__(self) -> None:
        self.requested: list[str] = []

    def metadata(self, *_: object) -> m.GetModelMetadataResponse:
        self.requested.append("metadata")
        signatures = m.SignatureDefMap()
        signatures.signature_def["serving_default"].inputs["x"].dtype = self.dtype
        return m.GetModelMetadataResponse(metadata={"signature_def": m.pack_signatures(signatures)})

    async def predict(self, request: m.PredictRequest, context: Any) -> m.PredictResponse:
        self.requested.append("predict")
        if self.rejects or request.inputs["x"].dtype != self.dtype:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "it does not fit")
        return m.PredictResponse(outputs={"x": request.inputs["x"]})


@pytest.mark.shows("a new version may")
async def test_signatures_are_remembered_until_they_do_not_fit(make, serve_faults) -> None:
    model = Changing()
    address = await serve_faults(
        {services.PREDICT: model.predict, services.GET_MODEL_METADATA: model.metadata}
    )
    gateway = await make(address)

    async def predict(value: Any, signature: str = "serving_default") -> tuple[int, Any, list[str]]:
        model.requested.clear()
        given = {"instances": [value], "signature_name": signature}
        response = await gateway.post(PREDICT, json=given)
        return response.status_code, response.json().get("predictions"), model.requested

    assert await predict(1.5) == (200, [1.5], ["metadata", "predict"])
    assert await predict(2.5) == (200, [2.5], ["predict"])
    model.dtype = m.DataType.DT_INT32
    assert await predict(3) == (200, [3], ["predict", "metadata", "predict"])
    assert await predict(4) == (200, [4], ["predict"])
    assert await predict("four") == (400, None, ["metadata"])
    assert await predict(4, "another") == (400, None, ["metadata"])
    model.rejects = True
    assert await predict(5) == (400, None, ["predict", "metadata"])  # unchanged, so not repeated
    model.rejects = False
    model.dtype = m.DataType.DT_STRING
    assert await predict("five") == (200, ["five"], ["metadata", "predict"])


@pytest.mark.shows("busy")
async def test_a_full_queue_of_the_model_server_is_429(make, serve_faults, red: bytes) -> None:
    """TensorFlow Serving sends the status of an unavailable server with this message."""
    full = "The batch scheduling queue to which this task was submitted is full"
    address = await serve_faults({services.CLASSIFY: rejects(grpc.StatusCode.UNAVAILABLE, full)})
    response = await (await make(address)).post(IMAGES, content=red)
    assert "queue is full" in _checked(response, 429)
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.shows("model-server-away")
async def test_an_unavailable_model_server(make, free_port, red: bytes) -> None:
    gateway = await make(f"127.0.0.1:{free_port()}")
    for response in (
        await gateway.post(IMAGES, content=red),
        await gateway.post(PREDICT, json={"instances": [1]}),
        await gateway.get("/v1/models"),
    ):
        _checked(response, 503)
        assert int(response.headers["retry-after"]) > 0
    ready = await gateway.get("/readyz")
    assert ready.status_code == 503
    assert ready.json() == {"ready": False, "reasons": ["the model server is not available"]}
    assert (await gateway.get("/livez")).status_code == 200


@pytest.mark.shows("deadline-exceeded", "KERASERVE_DEADLINE_SECONDS")
async def test_a_hanging_model_server_costs_no_more_than_the_deadline(make, serve_faults, red: bytes):
    address = await serve_faults(
        {services.CLASSIFY: hangs, services.GET_MODEL_STATUS: hangs, services.GET_MODEL_METADATA: hangs}
    )
    gateway = await make(address, deadline_seconds=0.3)
    loop = asyncio.get_running_loop()
    for path in (IMAGES, PREDICT):
        started = loop.time()
        response = await gateway.post(path, content=red)
        assert loop.time() - started < 10
        if path == IMAGES:
            _checked(response, 504)
    _checked(await gateway.post(PREDICT, json={"instances": [1]}), 504)
    assert (await gateway.get("/readyz")).status_code == 503


@pytest.mark.shows("X-Request-Timeout")
async def test_a_caller_may_set_a_shorter_deadline(make, serve_faults, red: bytes) -> None:
    seen: list[float] = []

    async def response(request: Any, context: Any) -> Any:
        seen.append(context.time_remaining())
        await asyncio.sleep(60)

    gateway = await make(await serve_faults({services.CLASSIFY: response}), deadline_seconds=20)
    headers = {"x-request-timeout": "1.5"}
    _checked(await gateway.post(IMAGES, content=red, headers=headers), 504)
    assert 0 < seen[0] < 1.6
    for wrong in ("0", "-1", "x", "1e9", "nan", "0.0"):
        headers["x-request-timeout"] = wrong
        rejected = await gateway.post(IMAGES, content=red, headers=headers)
        assert "X-Request-Timeout" in _checked(rejected, 400)


@pytest.mark.shows("KERASERVE_DEADLINE_SECONDS")
async def test_the_model_server_gets_the_rest_of_the_deadline(make, serve_faults, red: bytes) -> None:
    seen: list[float] = []

    async def response(request: Any, context: Any) -> Any:
        seen.append(context.time_remaining())
        await context.abort(grpc.StatusCode.UNAVAILABLE, "seen")

    async def slow() -> Any:
        yield red[:20]
        await asyncio.sleep(0.5)
        yield red[20:]

    gateway = await make(await serve_faults({services.CLASSIFY: response}), deadline_seconds=20)
    await gateway.post(IMAGES, content=slow())
    assert 0 < seen[0] < 19.6


@pytest.mark.shows("slow-body")
async def test_a_body_that_never_ends_is_rejected(make, embedded: str) -> None:
    gateway = await make(embedded, deadline_seconds=0.3)

    async def slow() -> Any:
        yield b"\x89PNG"
        await asyncio.sleep(60)

    response = await gateway.post(IMAGES, content=slow())
    _checked(response, 408)
    assert response.headers["connection"] == "close"


@pytest.mark.shows("Retry-After", "bad-response")
async def test_malformed_responses_are_502(make, serve_faults, red: bytes) -> None:
    class Garbage(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda *_: b"\xff\xff\xffgarbage")

    gateway = await make(await serve_faults({}, raw=[Garbage()]))
    for response in (
        await gateway.post(IMAGES, content=red),
        await gateway.get("/v1/models/colours"),
    ):
        _checked(response, 502)
        assert int(response.headers["retry-after"]) > 0

    def too_few(request: Any, context: Any) -> m.ClassificationResponse:
        return m.ClassificationResponse()

    def no_metadata(request: Any, context: Any) -> m.GetModelMetadataResponse:
        return m.GetModelMetadataResponse()

    faults = {services.CLASSIFY: too_few, services.GET_MODEL_METADATA: no_metadata}
    gateway = await make(await serve_faults(faults))
    _checked(await gateway.post(IMAGES, content=red), 502)
    _checked(await gateway.get("/v1/models/colours/metadata"), 502)
    _checked(await gateway.post(PREDICT, json={"instances": [1]}), 502)


async def test_the_error_names_a_missing_signature_not_an_image(make, serve_faults, red: bytes):
    def without(request: Any, context: Any) -> m.GetModelMetadataResponse:
        return m.GetModelMetadataResponse(metadata={"signature_def": m.pack_signatures(m.SignatureDefMap())})

    rejected = rejects(grpc.StatusCode.INVALID_ARGUMENT)
    faults = {services.CLASSIFY: rejected, services.GET_MODEL_METADATA: without}
    gateway = await make(await serve_faults(faults))
    response = await gateway.post(IMAGES, content=red)
    assert "is no image classifier: it has no signature 'classify'" in _checked(response, 400)


@pytest.mark.shows("500", "unexpected error")
async def test_an_unexpected_error_shows_no_stack_trace(make, embedded: str, monkeypatch) -> None:
    gateway = await make(embedded)

    async def broken(*_: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr("keraserve_gateway.calls.tensorflow_rest.status", broken)
    monkeypatch.setattr("keraserve_gateway.http.routes.models.list_models", broken)
    for path in ("/v1/models/colours", "/v1/models"):
        with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged:
            response = await gateway.get(path, headers={"x-request-id": "mine"})
        assert "secret" not in _checked(response, 500)
        assert response.headers["x-request-id"] == "mine"
        assert [(one["event"], one["request_id"]) for one in logged] == [
            ("unexpected error", "mine"),
            ("request", "mine"),
        ]
        assert logged[0]["exc_info"]


@pytest.mark.shows("KERASERVE_MAX_IN_FLIGHT", "KERASERVE_MAX_WAITING", "keraserve_gateway_requests_waiting")
async def test_a_request_that_waits_for_a_slot_is_counted_and_served(make, slow_status) -> None:
    address, arrived, go = slow_status
    gateway = await make(address, max_in_flight=1, max_waiting=1, wait_seconds=30)
    requests = [asyncio.create_task(gateway.get("/v1/models/colours"))]
    await arrived.wait()
    requests.append(asyncio.create_task(gateway.get("/v1/models/colours")))
    async with asyncio.timeout(20):
        while "keraserve_gateway_requests_waiting 1.0" not in (await gateway.get("/metrics")).text:
            await asyncio.sleep(0.01)
    _checked(await gateway.get("/v1/models/colours"), 429)
    go.set()
    assert [(await one).status_code for one in requests] == [200, 200]


@pytest.mark.shows("busy", "keraserve_gateway_requests_in_flight")
async def test_requests_beyond_the_limit_are_rejected(make, slow_status, red: bytes) -> None:
    address, arrived, go = slow_status
    gateway = await make(address, max_in_flight=1, max_waiting=0)
    first = asyncio.create_task(gateway.get("/v1/models/colours"))
    await arrived.wait()
    response = await gateway.post(IMAGES, content=red)
    _checked(response, 429)
    assert response.headers["retry-after"] == "1"
    assert response.headers["content-type"] == "application/problem+json"
    response = await gateway.post(PREDICT, json={})
    assert set(response.json()) == {"error"}
    for path in ("/livez", "/readyz", "/healthz", "/metrics", "/v2/health/ready", "/", "/docs"):
        assert (await gateway.get(path)).status_code == 200
    assert "keraserve_gateway_requests_in_flight 1.0" in (await gateway.get("/metrics")).text
    go.set()
    assert (await first).status_code == 200
    assert "keraserve_gateway_requests_in_flight 0.0" in (await gateway.get("/metrics")).text
