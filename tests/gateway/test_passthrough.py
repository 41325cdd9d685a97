"""gRPC calls through the gateway: bytes, deadline, status and request id are passed on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from keraserve_gateway.gateway import Gateway
from keraserve_gateway.grpc_api.server import GrpcServer
from keraserve_gateway.settings import Settings
from keraserve_gateway.upstream.model_server import GrpcModelServer
from keraserve_protocol import messages as m
from keraserve_protocol import services


class Caller(services.AsyncStub):
    """Makes the calls, also with bytes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel)
        self.raw = channel.unary_unary


Front = Callable[..., Awaitable[tuple[Caller, Gateway]]]


@pytest.fixture
async def front(free_port) -> AsyncIterator[Front]:
    closing: list[Callable[[], Awaitable[None]]] = []

    async def start(address: str, limit: int = 8, seconds: float = 5, **given: Any) -> tuple[Caller, Gateway]:
        server, port = GrpcModelServer(address, max_merged=1), free_port()
        settings = Settings(
            models="colours", max_in_flight=limit, max_waiting=0, deadline_seconds=seconds, **given
        )
        gateway = Gateway.of(settings, server)
        listening = GrpcServer(f"127.0.0.1:{port}", gateway)
        await listening.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        closing.extend((channel.close, lambda: listening.stop(0), server.close))
        return Caller(channel), gateway

    yield start
    for close in closing:
        await close()


async def failure(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value.code(), failed.value.details() or ""


@pytest.mark.shows("the caller's deadline, or", "X-Request-ID")
async def test_deadline_and_request_id_are_passed_on(front: Front, serve_faults) -> None:
    seen: dict[str, Any] = {}

    async def response(request: Any, context: Any) -> m.GetModelStatusResponse:
        seen.update(dict(context.invocation_metadata()), left=context.time_remaining())
        return m.GetModelStatusResponse()

    stub, _ = await front(await serve_faults({services.GET_MODEL_STATUS: response}))
    call = stub.get_model_status(m.GetModelStatusRequest(), timeout=3, metadata=(("x-request-id", "mine"),))
    await call
    assert dict(await call.initial_metadata())["x-request-id"] == "mine"
    assert seen["x-request-id"] == "mine"
    assert 0 < seen["left"] < 3.1
    call = stub.get_model_status(m.GetModelStatusRequest(), metadata=(("x-request-id", "no good"),))
    await call
    assert len(dict(await call.initial_metadata())["x-request-id"]) == 32
    assert 3.1 < seen["left"] < 5.1  # the gateway's own, without one of the caller's


@pytest.mark.shows("not-found")
async def test_an_unknown_model_s_error_names_the_models_that_there_are(front: Front, serve_faults) -> None:
    async def missing(request: m.GetModelStatusRequest, context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no {request.model_spec.name}")

    stub, _ = await front(await serve_faults({services.GET_MODEL_STATUS: missing}))
    for name, says in (("nope", "no nope; known models: colours"), ("colours", "no colours")):
        request = m.GetModelStatusRequest(model_spec=m.model_spec(name))
        assert await failure(stub.get_model_status(request)) == (grpc.StatusCode.NOT_FOUND, says)


@pytest.mark.shows("HandleReloadConfigRequest", "forbidden")
async def test_reload_config_is_forbidden_and_unimplemented_calls_say_so(front: Front, serve_faults) -> None:
    stub, _ = await front(await serve_faults({}))
    assert (await failure(stub.reload_config(m.ReloadConfigRequest())))[
        0
    ] is grpc.StatusCode.PERMISSION_DENIED
    assert (await failure(stub.predict(m.PredictRequest())))[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.shows("limits and draining", "KERASERVE_MAX_IN_FLIGHT")
async def test_limits_and_draining_hold_for_grpc(front: Front, slow_status, free_port) -> None:
    address, arrived, go = slow_status
    stub, gateway = await front(address, limit=1)
    first = asyncio.ensure_future(stub.get_model_status(m.GetModelStatusRequest()))
    await arrived.wait()
    assert (await failure(stub.get_model_status(m.GetModelStatusRequest())))[
        0
    ] is grpc.StatusCode.RESOURCE_EXHAUSTED
    draining = asyncio.create_task(gateway.admission.drain(5))
    await asyncio.sleep(0.05)
    assert (await failure(stub.get_model_status(m.GetModelStatusRequest())))[0] is grpc.StatusCode.UNAVAILABLE
    assert not draining.done()
    go.set()
    await first
    assert await draining


@pytest.mark.shows("the caller's deadline, or")
async def test_a_hanging_or_unavailable_model_server(front: Front, serve_faults, free_port) -> None:
    async def hangs(request: Any, context: Any) -> Any:
        await asyncio.sleep(60)

    stub, gateway = await front(await serve_faults({services.GET_MODEL_STATUS: hangs}), seconds=0.3)
    assert (await failure(stub.get_model_status(m.GetModelStatusRequest())))[
        0
    ] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert gateway.admission.in_flight == 0
    stub, _ = await front(f"127.0.0.1:{free_port()}")
    assert (await failure(stub.get_model_status(m.GetModelStatusRequest())))[0] is grpc.StatusCode.UNAVAILABLE


@pytest.mark.shows("limits and draining", "too-large", "KERASERVE_MAX_BODY_BYTES")
async def test_large_messages(front: Front, serve_faults) -> None:
    def echo(request: m.PredictRequest, context: Any) -> m.PredictResponse:
        return m.PredictResponse(outputs=dict(request.inputs))

    stub, _ = await front(await serve_faults({services.PREDICT: echo}), max_body_bytes=5 << 20)
    # Up to max_body_bytes; the echoing server has gRPC's default limit of 4 MiB.
    request = m.PredictRequest(inputs={"x": m.TensorProto(tensor_content=b"x" * (3 << 20))})
    assert len((await stub.predict(request)).outputs["x"].tensor_content) == 3 << 20
    request.inputs["x"].tensor_content = b"x" * (5 << 20)
    code, detail = await failure(stub.predict(request))
    assert (code, "larger than max" in detail) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)


async def test_bytes_are_passed_on_unchanged(front: Front, serve_faults) -> None:
    """Also unknown fields, and a response that can't be parsed."""
    seen: list[bytes] = []

    class Bytes(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(lambda sent, _: seen.append(sent) or b"\xffno message")

    stub, gateway = await front(await serve_faults({}, raw=[Bytes()]))
    unknown = b"\xb8\x3e\x01"  # field 999
    request = unknown + m.PredictRequest(model_spec=m.model_spec("colours", version=3)).SerializeToString()
    for call in (services.PREDICT, services.CLASSIFY, services.REGRESS, services.GET_MODEL_METADATA):
        assert await stub.raw(call.path)(request) == b"\xffno message"
        assert seen.pop() == request
    assert gateway.admission.in_flight == 0


@pytest.mark.shows("grpc.health.v1.Health/Check")
async def test_health_reports_what_readyz_does(front: Front, embedded: str, free_port) -> None:
    for address, response in ((embedded, b"\x08\x01"), (f"127.0.0.1:{free_port()}", b"\x08\x02")):
        stub, _ = await front(address)
        check = stub.raw("/grpc.health.v1.Health/Check")
        assert await check(b"", timeout=5) == response
        assert await check(StringValue(value=services.MODEL_SERVICE).SerializeToString()) == response
        for request, code in (
            (StringValue(value="nope").SerializeToString(), grpc.StatusCode.NOT_FOUND),
            (b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await check(request)
            assert failed.value.code() is code
