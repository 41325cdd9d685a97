"""Callers that go away, don't finish, don't read or do nothing do not affect others."""

import asyncio
import os
import resource
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import grpc
import grpc.aio
import pytest
from http2_frames import SETTINGS
from system.faults.product import MINUTES, SLOTS, Product, gateway_before, post
from waiting import until

from keraserve_client import AsyncGrpcClient, Client, GrpcClient
from keraserve_protocol import services

IDLE = 10_000 if MINUTES else 1_500
GONE = 3_000 if MINUTES else 400
HALF = 80
UNREAD = 20
SILENT = 700  # more than may be open
MEBIBYTES = 300
LONG_RESPONSES = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"


@contextmanager
def connections(product: Product, count: int) -> Iterator[list[socket.socket]]:
    """Open so many at a time."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 500:
        pytest.skip(f"{hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", product.port), 30))
            for _ in range(count)
        ]


def test_idle_connections_take_little_memory_and_block_no_request(product: Product, red: bytes) -> None:
    before, descriptors = product.gateway.mebibytes(), product.gateway.descriptors()
    with Client(product.url, retries=0) as client, connections(product, IDLE):
        for _ in range(20):
            assert client.classify("colours", red)[0].best.label == "red"
        assert product.status("/livez") == 200
        assert product.gateway.mebibytes() - before < MEBIBYTES
    until(lambda: product.gateway.descriptors() < descriptors + 20, "connections that ended are kept")


def test_connections_that_callers_abandon_are_closed(product: Product, red: bytes) -> None:
    """In the middle of a request, or before its response; with a FIN or a RST."""
    whole = post("/v1/models/colours/images:classify", red, "image/png")
    noise = b"\x89PNG\r\n\x1a\n" + os.urandom(1 << 20)
    large = post("/v1/models/colours/images:classify", noise, "image/png")
    descriptors = product.gateway.descriptors()
    with Client(product.url, retries=0) as client:
        for number in range(GONE):
            with socket.create_connection(("127.0.0.1", product.port), 30) as wire:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", number % 2, 0))
                wire.sendall((whole, whole[:40], whole[:-9], large[: 1 << 18])[number // 2 % 4])
            if number % 20 == 0:
                assert client.classify("colours", red)[0].best.label == "red"
    until(lambda: product.gateway.descriptors() < descriptors + 20, "connections that ended are kept")
    with Client(product.url, retries=0) as client:
        assert client.classify("colours", red)[0].best.label == "red"


def test_half_sent_images_block_no_request(product: Product, red: bytes) -> None:
    """More of them than the gateway has slots."""
    half = post("/v1/models/colours/images:classify", red, "image/png")[:-9]
    with connections(product, HALF) as held, Client(product.url, retries=0) as http:
        for wire in held:
            wire.sendall(half)
        with GrpcClient(product.grpc, retries=0) as grpc_client:
            for _ in range(10):
                for client in (http, grpc_client):
                    assert client.classify("colours", red)[0].best.label == "red"
        assert product.status("/readyz") == 200


def test_callers_that_never_read_block_no_request(without_batching: Product, red: bytes) -> None:
    """Long responses fill the buffers of more callers than there are slots; then come other requests."""
    product = without_batching
    assert UNREAD > SLOTS
    with ExitStack() as stack, Client(product.url, retries=0) as client:
        held = [stack.enter_context(_never_reading(product.port)) for _ in range(UNREAD)]
        for _ in range(40):
            for wire in held:
                with suppress(OSError):
                    wire.send(LONG_RESPONSES)
            assert client.classify("colours", red)[0].best.label == "red"
            assert product.status("/livez") == 200


def test_draining_does_not_wait_for_callers_that_never_read(
    without_batching: Product, tmp_path: Path
) -> None:
    """SIGTERM ends the gateway before drain_seconds, without a traceback (see `gateway_before`)."""
    flags = (f"--model-config-file={without_batching.models / 'models.config'}", "--drain-seconds=60")
    with (
        gateway_before(without_batching.upstream, tmp_path, *flags, f"--max-in-flight={SLOTS}") as product,
        ExitStack() as stack,
    ):
        held = [stack.enter_context(_never_reading(product.port)) for _ in range(UNREAD)]
        for _ in range(40):
            for wire in held:
                with suppress(OSError):
                    wire.send(LONG_RESPONSES)
            assert product.status("/livez") == 200
        assert product.gateway.end() == 0
        assert "drain_seconds are over" not in product.gateway.log.read_text()


def test_silent_connections_and_calls_without_messages_block_no_grpc_call(
    product: Product, red: bytes
) -> None:
    async def classify() -> None:
        silent = [socket.create_connection(("127.0.0.1", product.grpc_port), 30) for _ in range(SILENT)]
        for wire in silent[::2]:
            with suppress(OSError):  # it was rejected
                wire.sendall(SETTINGS)
        async with grpc.aio.insecure_channel(product.grpc) as channel:
            call = channel.stream_unary(services.PREDICT.path)
            halves = [asyncio.ensure_future(call(_silence())) for _ in range(200)]
            async with AsyncGrpcClient(product.grpc, timeout=60) as client:
                for _ in range(5):
                    [response] = await client.classify("colours", red)
                    assert response.best.label == "red"
            for half in halves:
                half.cancel()
            await asyncio.gather(*halves, return_exceptions=True)
        for wire in silent:
            wire.close()

    asyncio.run(classify())
    with Client(product.url, retries=0) as client:
        assert client.classify("colours", red)[0].best.label == "red"


def _never_reading(port: int) -> socket.socket:
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    wire.connect(("127.0.0.1", port))
    wire.setblocking(False)
    return wire


async def _silence() -> AsyncIterator[bytes]:
    """A message that never comes."""
    await asyncio.sleep(120)
    yield b""
