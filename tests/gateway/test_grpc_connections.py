"""The gRPC port ends connections without a call for new ones, and those whose responses are not read."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import pytest
import structlog
from gateway.test_command import ended
from gateway.test_http_connection import http_port
from http2_frames import NO_WINDOW, SETTINGS, call

from keraserve_gateway.api_keys import keys, wrong_keys
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.grpc_api import server
from keraserve_gateway.grpc_api.server import GrpcServer
from keraserve_gateway.settings import Settings
from keraserve_gateway.upstream.model_server import GrpcModelServer
from keraserve_protocol import messages as m
from keraserve_protocol import services

HEALTH = "/grpc.health.v1.Health/Check"
LONG = {"header_seconds": 600, "idle_seconds": 600, "deadline_seconds": 600}  # nothing ends by itself
REQUEST = m.GetModelStatusRequest(model_spec=m.model_spec("x")).SerializeToString()
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Port:
    """A gRPC port of a gateway in this process; its model server responds when `released` is set."""

    def __init__(self, stack: AsyncExitStack, serve_faults: Any, free_port: Callable[[], int]) -> None:
        self._stack, self._serve_faults, self._free_port = stack, serve_faults, free_port
        self.calls, self.released = 0, asyncio.Event()
        self.released.set()

    async def open(self, host: str = "127.0.0.1", **given: Any) -> None:
        async def models(_: Any, __: Any) -> m.GetModelStatusResponse:
            self.calls += 1
            await self.released.wait()
            response = m.GetModelStatusResponse()
            response.model_version_status.add(version=1, state=30)
            return response

        address = await self._serve_faults({services.GET_MODEL_STATUS: models})
        upstream, self.port = GrpcModelServer(address, max_merged=1), self._free_port()
        self._stack.push_async_callback(upstream.close)
        self.gateway = Gateway.of(Settings(models="x", model_server=address, **given), upstream)
        server = GrpcServer(f"{host}:{self.port}", self.gateway)
        await server.start()
        self._stack.push_async_callback(server.stop, 0)

    async def wires(self, count: int, sent: bytes = b"") -> list[Wire]:
        wires = [await asyncio.open_connection("127.0.0.1", self.port) for _ in range(count)]
        for _, writer in wires:
            writer.write(sent)
            self._stack.callback(writer.close)
        return wires

    async def channel(self, host: str = "127.0.0.1") -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(f"{host}:{self.port}", options=OWN_CONNECTION)
        return await self._stack.enter_async_context(channel)

    async def healthy(self) -> None:
        """Probe on a new connection, once it is accepted."""
        channel = await self.channel()
        response = await channel.unary_unary(HEALTH)(b"", timeout=60, wait_for_ready=True)
        assert response == b"\x08\x01"
        await channel.close()

    def counted(self, line: str) -> float:
        """Return a metric's value; 0 if there is none."""
        found = [one for one in self.gateway.metrics.render().decode().splitlines() if one.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0

    def ended(self, reason: str) -> float:
        return self.counted(f'keraserve_gateway_connections_ended_total{{protocol="grpc",reason="{reason}"}}')

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.02)


@pytest.fixture
async def port(serve_faults, free_port) -> AsyncIterator[Port]:
    async with AsyncExitStack() as stack:
        yield Port(stack, serve_faults, free_port)


async def test_a_client_that_leaves_before_the_response_logs_no_stack_trace(
    port: Port, start_gateway, free_port
) -> None:
    await port.open()  # only its model server is used
    upstream, own = port.gateway.settings.model_server, free_port()
    process, log = start_gateway("--port=0", f"--grpc-port={own}", f"--model-server={upstream}", "--models=x")
    await http_port(log)
    _, writer = await asyncio.open_connection("127.0.0.1", own)
    writer.write(NO_WINDOW + call(services.GET_MODEL_STATUS.path, REQUEST))
    await port.until(lambda: '"path":"/tensorflow.serving.ModelService/GetModelStatus"' in log.read_text())
    writer.close()
    await asyncio.sleep(0.5)
    process.terminate()
    lines = await ended(process, log)
    assert {"call", "stopped"} <= {line["event"] for line in lines}
    assert not [line for line in lines if "exception" in line or line.get("level") == "error"]


@pytest.mark.shows("keraserve_gateway_connections", "gRPC connections ended", "more than max_connections")
@pytest.mark.parametrize("sent", [b"", SETTINGS])
async def test_connections_without_a_call_are_ended_for_new_ones(port: Port, sent: bytes) -> None:
    """There are more than may be open, and none would end by itself."""
    with structlog.testing.capture_logs() as lines:
        await port.open(max_connections=4, **LONG)
        await port.wires(40, sent)
        for _ in range(3):
            await port.healthy()
        await port.until(lambda: port.counted('keraserve_gateway_connections{protocol="grpc"}') <= 4)
    assert port.ended("idle") >= 16  # the others were rejected by grpcio
    assert [one["count"] for one in lines if one["event"] == "gRPC connections ended"]


@pytest.mark.shows("KERASERVE_MAX_CONNECTIONS")
async def test_the_connection_longest_without_a_call_is_ended(port: Port) -> None:
    await port.open(max_connections=2, **LONG)
    channels = [await port.channel() for _ in range(3)]
    for channel in channels[:2]:
        await channel.unary_unary(HEALTH)(b"", timeout=60)
    await port.until(lambda: port.counted('keraserve_gateway_connections{protocol="grpc"}') == 2)
    assert port.ended("idle") == 0
    await channels[2].unary_unary(HEALTH)(b"", timeout=60)
    await port.until(lambda: port.ended("idle") == 1)
    assert [one.get_state() is grpc.ChannelConnectivity.READY for one in channels] == [False, True, True]


@pytest.mark.shows("KERASERVE_MAX_CONNECTIONS")
@pytest.mark.parametrize(
    ("host", "callers"), [("127.0.0.1", "127.0.0.1"), ("[::]", "127.0.0.1"), ("[::1]", "[::1]")]
)
async def test_a_connection_with_a_running_call_is_kept(port: Port, host: str, callers: str) -> None:
    """With every kind of address."""
    await port.open(host, max_connections=1, **LONG)
    port.released.clear()
    busy, other = await port.channel(callers), await port.channel(callers)
    call_ = asyncio.ensure_future(busy.unary_unary(services.GET_MODEL_STATUS.path)(REQUEST, timeout=120))
    await port.until(lambda: port.calls == 1)
    for number in range(1, 4):
        # It is always the other one, which connects again at once.
        await port.until(lambda least=number: other.get_state(True) and port.ended("idle") >= least)
    port.released.set()
    assert await call_


@pytest.mark.shows("gRPC connections are rejected")
async def test_rejected_connections_are_logged(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "most_accepted", lambda most: most)
    monkeypatch.setattr("keraserve_protocol.grpc_connections.most_accepted", lambda most: most)
    with structlog.testing.capture_logs() as lines:
        await port.open(max_connections=1, **LONG)
        port.released.clear()
        busy = await port.channel()
        call_ = asyncio.ensure_future(busy.unary_unary(services.GET_MODEL_STATUS.path)(REQUEST, timeout=120))
        await port.until(lambda: any(one["event"] == "gRPC connections are rejected" for one in lines))
        port.released.set()
        await call_


@pytest.mark.shows("keraserve_gateway_connections_ended_total", "a call that is not")
async def test_a_connection_whose_response_is_not_read_is_ended(port: Port) -> None:
    """gRPC itself would wait for ten minutes."""
    await port.open(deadline_seconds=1, unread_seconds=1, max_in_flight=1, max_waiting=0)
    [(reader, _)] = await port.wires(1, NO_WINDOW + call(services.GET_MODEL_STATUS.path, REQUEST))
    await port.until(lambda: port.calls == 1)
    await port.until(lambda: port.gateway.admission.in_flight == 0)
    await port.healthy()
    async with asyncio.timeout(60):
        await reader.read()
    await port.until(lambda: port.ended("unread") == 1)


@pytest.mark.shows("more than 2,048 calls")
async def test_calls_whose_responses_are_not_read_block_no_others(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are as many as allowed, and none would end by itself."""
    monkeypatch.setattr(server, "_MOST_CALLS", 8)
    await port.open(**LONG)
    calls = [call(services.GET_MODEL_STATUS.path, REQUEST, stream) for stream in range(1, 17, 2)]
    await port.wires(1, NO_WINDOW + b"".join(calls))
    await port.until(lambda: port.calls == 8)
    await port.until(lambda: port.ended("unread") == 1)
    await port.healthy()


async def test_wrong_keys_leave_calls_of_their_connection_to_right_keys(
    port: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a proxy, which has one connection for all callers."""
    monkeypatch.setattr(wrong_keys, "PER_SECOND", 1 / 600)
    monkeypatch.setattr(wrong_keys, "LONGEST_SECONDS", 600)
    key, entry = keys.make("shop")
    (tmp_path / "keys.toml").write_text(entry)
    await port.open(keys_file=tmp_path / "keys.toml", **LONG)
    ask = (await port.channel()).unary_unary(services.GET_MODEL_STATUS.path)
    right = (("x-api-key", key),)
    assert await ask(REQUEST, timeout=60, metadata=right)  # now the client knows the limit on calls
    wrong = [
        asyncio.ensure_future(ask(REQUEST, timeout=600, metadata=(("x-api-key", key[:-1] + "!"),)))
        for _ in range(128)
    ]
    await port.until(lambda: sum(one.done() for one in wrong) == 128 - 32)
    assert await ask(REQUEST, timeout=60, metadata=right)
    responded = [one for one in wrong if one.done()]
    for one in wrong:
        one.cancel()
    results = await asyncio.gather(*responded, return_exceptions=True)
    assert {cast(grpc.aio.AioRpcError, one).code() for one in results} == {grpc.StatusCode.UNAUTHENTICATED}
