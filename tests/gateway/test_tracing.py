"""Traces: passed on as they come, or made and exported to a real OTLP receiver over HTTP."""

import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc.aio
import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from keraserve_gateway.grpc_api.server import GrpcServer
from keraserve_gateway.http.app import gateway_of
from keraserve_gateway.telemetry import tracing
from keraserve_protocol import messages as m
from keraserve_protocol import services

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
PATH = "/v1/models/colours"


class Upstream:
    """Remembers the metadata of the last call."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    def status(self, _: m.GetModelStatusRequest, context: Any) -> m.GetModelStatusResponse:
        self.seen = dict(context.invocation_metadata())
        return m.GetModelStatusResponse()


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """An OTLP receiver; its endpoint, and what it was sent."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.shows("traceparent")
async def test_without_opentelemetry_a_trace_is_passed_on(make, serve_faults) -> None:
    upstream = Upstream()
    gateway = await make(await serve_faults({services.GET_MODEL_STATUS: upstream.status}))
    response = await gateway.get(PATH, headers=GIVEN)
    assert response.headers["traceparent"] == GIVEN["traceparent"]
    assert {name: upstream.seen[name] for name in GIVEN} == GIVEN
    for wrong in ("", "x", GIVEN["traceparent"].upper(), GIVEN["traceparent"] + "\t"):
        response = await gateway.get(PATH, headers={"traceparent": wrong.strip() + "x"})
        assert "traceparent" not in response.headers
        assert "traceparent" not in upstream.seen


@pytest.mark.shows("traceparent")
async def test_spans_reach_an_otlp_receiver(make, serve_faults, free_port, receiver, monkeypatch) -> None:
    endpoint, received = receiver
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "front")
    made = tracing.from_environment()
    assert made is not None
    upstream = Upstream()
    gateway = await make(await serve_faults({services.GET_MODEL_STATUS: upstream.status}), tracing=made)
    response = await gateway.get(PATH, headers=GIVEN)
    own = re.fullmatch(rf"00-{TRACE}-([0-9a-f]{{16}})-01", response.headers["traceparent"])
    assert own is not None
    assert own[1] != PARENT
    assert upstream.seen["traceparent"] == response.headers["traceparent"]
    assert upstream.seen["tracestate"] == GIVEN["tracestate"]
    await gateway.get("/v1/models/colours/nothing")
    await gateway.get("/livez")  # no span: probes are noise

    address = f"127.0.0.1:{free_port()}"
    server = GrpcServer(address, gateway_of(gateway.app))
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        call = services.AsyncStub(channel).get_model_status(
            m.GetModelStatusRequest(model_spec=m.model_spec("colours")), metadata=tuple(GIVEN.items())
        )
        await call
        told = dict(await call.initial_metadata())["traceparent"]
        assert told == upstream.seen["traceparent"] != GIVEN["traceparent"]
    await server.stop(0)
    made.close()

    groups = [one for sent in received for one in sent.resource_spans]
    resource = {one.key: one.value.string_value for one in groups[0].resource.attributes}
    assert resource["service.name"] == "front"
    spans = [span for group in groups for scope in group.scope_spans for span in scope.spans]
    first, lost, over_grpc = spans
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert first.span_id.hex() == own[1]
    assert [span.name for span in spans] == ["GET", "GET", "tensorflow.serving.ModelService/GetModelStatus"]
    attributes = {one.key: one.value.string_value for one in first.attributes}
    assert attributes["url.path"] == PATH
    assert attributes["http.response.status_code"] == "200"
    assert attributes["keraserve.model"] == "colours"
    assert not lost.parent_span_id
    found = {one.key: one.value.string_value for one in over_grpc.attributes}
    assert found["rpc.response.status_code"] == "OK"
    assert over_grpc.span_id.hex() == told.split("-")[2]


@pytest.mark.shows("an OTLP endpoint is set, but OpenTelemetry is missing: install keraserve-gateway[otel]")
def test_tracing_is_off_without_an_endpoint() -> None:
    assert tracing.from_environment({}) is None
    requested = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}
    assert tracing.from_environment(requested) is None


@pytest.mark.shows("an OTLP endpoint is set, but OpenTelemetry is missing: install keraserve-gateway[otel]")
def test_a_missing_library_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with structlog.testing.capture_logs() as logged:
        assert tracing.from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) is None
    assert "install keraserve-gateway[otel]" in logged[0]["event"]


@pytest.mark.shows("traceparent")
@pytest.mark.parametrize("state", [b"a=1\tb", "a=ü".encode(), b"a=" + b"b" * 12_000, b"a=1,\t b=2"])
async def test_a_tracestate_that_grpc_can_not_carry_fails_no_request(
    make, embedded: str, state: bytes
) -> None:
    gateway = await make(embedded)
    headers = [(b"traceparent", GIVEN["traceparent"].encode()), (b"tracestate", state)]
    response = await gateway.get("/v1/models/colours", headers=headers)
    assert response.status_code == 200
    assert response.headers["traceparent"] == GIVEN["traceparent"]
