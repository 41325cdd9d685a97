"""Who does not finish sending, or does not read, holds nothing that others need."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx2
import pytest
from gateway.test_command import ended
from gateway.test_http_connection import GET, http_port, problem
from gateway.test_keys import available

from keraserve_gateway.gateway import Gateway
from keraserve_gateway.grpc_api.server import GrpcServer
from keraserve_gateway.incomplete_bodies import IncompleteBodies, IncompleteBody
from keraserve_gateway.settings import Settings
from keraserve_gateway.time_limit import TimeLimit
from keraserve_gateway.upstream.model_server import GrpcModelServer
from keraserve_protocol import messages as m
from keraserve_protocol import services

HEAD = b"POST /v1/models/x/images:classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"


@pytest.fixture
async def gateway(start_gateway, serve_faults) -> Any:
    address = await serve_faults({services.GET_MODEL_STATUS: available})

    async def start(*flags: str) -> tuple[Any, Path, int]:
        common = ("--port=0", "--grpc-port=0", f"--model-server={address}", "--models=x")
        process, log = start_gateway(*common, *flags)
        return process, log, await http_port(log)

    return start


async def half_a_body(port: int, size: int = 1000) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % (2 * size) + bytes(size))
    await writer.drain()
    return reader, writer


async def status(port: int, path: str = "/v1/models") -> int:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        return (await client.get(path)).status_code


@pytest.mark.shows("slow-body", "KERASERVE_MAX_IN_FLIGHT")
async def test_half_a_body_takes_no_slot(gateway) -> None:
    _, _, port = await gateway("--max-in-flight=1", "--max-waiting=0", "--deadline-seconds=3")
    halves = [await half_a_body(port) for _ in range(4)]
    for _ in range(3):
        assert await status(port) == 200
    for reader, writer in halves:
        assert b"did not arrive before" in (late := await asyncio.wait_for(reader.read(), 30))
        assert late.startswith(b"HTTP/1.1 408 ")
        writer.close()


@pytest.mark.shows("KERASERVE_MAX_CONNECTIONS")
async def test_a_connection_with_half_a_body_is_closed_for_a_new_one(gateway) -> None:
    _, _, port = await gateway("--max-connections=3")
    halves = [await half_a_body(port) for _ in range(3)]
    for path in ("/v1/models", "/livez"):
        assert await status(port, path) == 200
    assert await asyncio.wait_for(halves[0][0].read(), 20) == b""
    for _, writer in halves:
        writer.close()


@pytest.mark.shows("KERASERVE_MAX_ARRIVING_BYTES")
async def test_incomplete_bodies_have_a_limit_together(gateway) -> None:
    _, _, port = await gateway("--max-arriving-bytes=400000")
    first, second = [await half_a_body(port, 250_000) for _ in range(2)]
    said = problem_of(await asyncio.wait_for(first[0].read(), 30))
    assert "need more than max_arriving_bytes" in said
    second[1].write(bytes(250_000))
    assert (await asyncio.wait_for(second[0].readline(), 30)).startswith(b"HTTP/1.1 4")
    for _, writer in (first, second):
        writer.close()


def problem_of(response: bytes) -> str:
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    return body.decode()


@pytest.mark.shows("KERASERVE_MAX_ARRIVING_BYTES")
async def test_the_oldest_incomplete_body_is_given_up() -> None:
    arriving, ends = IncompleteBodies(10), list[str]()

    async def receive(name: str, *sizes: int) -> None:
        limit = TimeLimit(30)
        body = IncompleteBody(arriving, limit)
        try:
            with limit, body:
                for size in sizes:
                    body.add(size)
                    await asyncio.sleep(0)
                await asyncio.sleep(60)
        except TimeoutError:
            assert body.given_up
            ends.append(name)

    tasks = [asyncio.create_task(receive(*one)) for one in (("a", 4), ("b", 4, 1), ("c", 1, 1))]
    await asyncio.sleep(0.05)
    assert (ends, arriving.bytes) == (["a"], 7)
    late = asyncio.create_task(receive("d", 11))  # more than there is at all
    await asyncio.sleep(0.05)
    assert (ends, arriving.bytes) == (["a", "b", "c", "d"], 0)
    await asyncio.gather(*tasks, late)


@pytest.fixture
def unread() -> Iterator[Callable[[int], socket.socket]]:
    """Open connections whose client takes next to nothing."""
    with contextlib.ExitStack() as stack:
        yield lambda port: _unread(stack.enter_context(socket.socket()), port)


def _unread(connection: socket.socket, port: int) -> socket.socket:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        connection.connect(("127.0.0.1", port))
    return connection


LONG = GET.replace(b"livez", b"openapi.json") + b"\r\n"
GUARDED = GET.replace(b"livez", b"v1/models") + b"\r\n"


async def pour(connection: socket.socket) -> None:
    """Ask for more than the pipe takes, then for what needs a place."""
    for _ in range(40):  # more than the system keeps, and never many at a time
        await asyncio.sleep(0.2)
        with contextlib.suppress(OSError):
            connection.send(LONG + GUARDED)


@pytest.mark.shows(
    "KERASERVE_UNREAD_SECONDS", "keraserve_gateway_connections_ended_total", "connection ended"
)
async def test_an_unread_response_holds_no_slot_and_is_cut_off(gateway, unread) -> None:
    _, log, port = await gateway("--max-in-flight=1", "--max-waiting=0", "--unread-seconds=2")
    connections = [unread(port) for _ in range(2)]
    await asyncio.gather(*map(pour, connections))
    async with asyncio.timeout(60):
        while await status(port) != 200:
            await asyncio.sleep(0.1)
        while log.read_text().count("nothing was read of a response for 2 s") < 2:
            await asyncio.sleep(0.1)
    async with httpx2.AsyncClient() as client:
        page = (await client.get(f"http://127.0.0.1:{port}/metrics")).text
    assert 'keraserve_gateway_connections_ended_total{protocol="http",reason="unread"} 2.0' in page


@pytest.mark.shows("KERASERVE_UNREAD_SECONDS")
async def test_draining_does_not_wait_for_unread_responses(gateway, unread) -> None:
    """Neither for responses nor for rejections: there is one slot, and all callers want it repeatedly."""
    process, log, port = await gateway("--max-in-flight=1", "--max-waiting=0", "--drain-seconds=10")
    connections = [unread(port) for _ in range(5)]
    await asyncio.gather(*map(pour, connections))
    process.send_signal(signal.SIGTERM)
    lines = await ended(process, log)  # without a trace of the stack
    assert "drain_seconds are over" not in {line["event"] for line in lines}


async def test_a_rejection_is_sent_after_earlier_responses(start_gateway, serve_faults) -> None:
    go = asyncio.Event()

    async def waits(request: Any, context: Any) -> m.GetModelStatusResponse:
        await go.wait()
        return available(request, context)

    address = await serve_faults({services.GET_MODEL_STATUS: waits})
    _, log = start_gateway("--port=0", "--grpc-port=0", f"--model-server={address}", "--models=x")
    port = await http_port(log)
    for malformed in (b"nonsense\r\n\r\n", GET + b"Host: y\r\n\r\n"):
        go.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GUARDED + malformed)
        await asyncio.sleep(0.2)
        go.set()
        response = await asyncio.wait_for(reader.read(), 30)
        assert response.startswith(b"HTTP/1.1 200 ")
        assert response.count(b"HTTP/1.1 ") == 1, (malformed[:50], response)
        writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GUARDED)
    assert (await asyncio.wait_for(reader.readuntil(b"}]}"), 30)).startswith(b"HTTP/1.1 200 ")
    writer.write(b"nonsense\r\n\r\n")
    problem(await asyncio.wait_for(reader.read(), 30), 400)
    writer.close()


Front = tuple[str, Gateway]


@pytest.fixture
async def front(serve_faults, free_port) -> AsyncIterator[Any]:
    """Start the gRPC port in front of a server that responds; gives its address and the gateway."""
    closing: list[Any] = []
    address = await serve_faults({services.GET_MODEL_STATUS: available})

    async def start(**given: Any) -> Front:
        server, port = GrpcModelServer(address, max_merged=1), free_port()
        gateway = Gateway.of(Settings(models="x", **given), server)
        listening = GrpcServer(f"127.0.0.1:{port}", gateway)
        await listening.start()
        closing.extend((lambda: listening.stop(0), server.close))
        return f"127.0.0.1:{port}", gateway

    yield start
    for close in closing:
        await close()


async def silence() -> AsyncIterator[bytes]:
    """A message that never comes."""
    await asyncio.sleep(60)
    yield b""


@pytest.mark.shows("a message is waited", "slow-body")
async def test_a_call_without_its_message_is_given_up(front) -> None:
    address, gateway = await front(deadline_seconds=0.5)
    async with grpc.aio.insecure_channel(address) as channel:
        for path in (services.PREDICT.path, "/grpc.health.v1.Health/Check"):
            with pytest.raises(grpc.aio.AioRpcError, match="did not arrive before") as late:
                await channel.stream_unary(path)(silence())
            assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 'rejected_total{reason="slow-body"} 1.0' in gateway.metrics.render().decode()
    assert gateway.admission.in_flight == 0


@pytest.mark.shows("a message is waited")
async def test_calls_without_their_messages_block_no_other(front) -> None:
    address, gateway = await front(max_in_flight=2)
    async with grpc.aio.insecure_channel(address) as channel:
        halves = [
            asyncio.ensure_future(channel.stream_unary(services.PREDICT.path)(silence())) for _ in range(90)
        ]
        for _ in range(5):
            await services.AsyncStub(channel).get_model_status(m.GetModelStatusRequest(), timeout=20)
        async with asyncio.timeout(30):
            while sum(half.done() for half in halves) < 86:
                await asyncio.sleep(0.05)
        for half in [one for one in halves if one.done()]:
            with pytest.raises(grpc.aio.AioRpcError, match="sending their messages") as rejected:
                await half
            assert rejected.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for half in halves:
            half.cancel()
        await asyncio.gather(*halves, return_exceptions=True)
    assert gateway.admission.in_flight == 0


@pytest.mark.shows("KERASERVE_HEADER_SECONDS")
async def test_a_silent_connection_is_closed(front) -> None:
    address, _ = await front(max_connections=1, header_seconds=0.5)
    reader, writer = await asyncio.open_connection(*address.split(":"))
    async with asyncio.timeout(30):
        await reader.read()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = services.AsyncStub(channel)
        await stub.get_model_status(m.GetModelStatusRequest(), timeout=20, wait_for_ready=True)
    writer.close()
