"""What bodies in flight may take of the memory there is."""

import asyncio
import gc
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from gateway.recorded_connection import POST, responses

from keraserve_gateway import memory_budget
from keraserve_gateway.context import RequestContext
from keraserve_gateway.errors import Overloaded
from keraserve_gateway.grpc_api.server import GrpcServer
from keraserve_gateway.http.app import gateway_of
from keraserve_gateway.memory_budget import BodyBytes, MemoryExceeded, plan
from keraserve_gateway.settings import Settings
from keraserve_protocol import messages as m
from keraserve_protocol import services

MIB = 1 << 20
PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.shows("KERASERVE_MAX_BYTES_IN_FLIGHT", "less than the default fits into memory")
def test_defaults_that_do_not_fit_are_lowered_with_a_reason() -> None:
    assert plan(Settings(), 2048 * MIB) == memory_budget.MemoryBudget(256 * MIB, 128 * MIB)
    lowered = plan(Settings(), 1024 * MIB)
    assert (lowered.bytes, lowered.arriving) == (184 * MIB, 128 * MIB)
    assert memory_budget.PROCESS + lowered.arriving + memory_budget.COPIES * lowered.bytes <= 1024 * MIB
    assert lowered.reason == (
        "160 MiB for the process, 128 MiB for bodies that arrive and 4 x 256 MiB for those in flight are"
        " 1,312 MiB, and the memory limit leaves 1,024 MiB: bodies in flight may have 184 MiB together"
    )
    small = plan(Settings(), 256 * MIB)
    assert (small.bytes, small.arriving) == (16 * MIB, 32 * MIB)  # one body
    assert plan(Settings(model_server="in-process"), 2048 * MIB).bytes == 184 * MIB


@pytest.mark.shows("KERASERVE_MAX_BYTES_IN_FLIGHT")
@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({"max_bytes_in_flight": 256 * MIB}, 1024),
        ({"max_body_bytes": 512 * MIB}, 2048),
        ({"max_arriving_bytes": 1024 * MIB}, 1024),
        ({}, 250),
    ],
)
def test_settings_that_do_not_fit_are_rejected_with_a_reason(given: dict[str, Any], limit: int) -> None:
    with pytest.raises(
        MemoryExceeded, match=r"160 MiB for the process, .* and 4 x .* are .* MiB, and the memory"
    ):
        plan(Settings(**given), limit * MIB)


@pytest.mark.shows("KERASERVE_MAX_BYTES_IN_FLIGHT")
def test_a_start_that_does_not_fit_ends_with_a_sentence(start_gateway) -> None:
    process, log = start_gateway("--port=0", "--grpc-port=0", f"--max-bytes-in-flight={PHYSICAL}")
    assert process.wait(60) == 1
    (line,) = log.read_text().splitlines()
    assert "are" in line
    assert "raise that limit, or lower max_bytes_in_flight, max_body_bytes or max_arriving_bytes" in line


def test_bytes_are_counted() -> None:
    bodies = BodyBytes(10)
    bodies.take(4)
    bodies.take(6)
    with pytest.raises(
        Overloaded, match=r"the bodies in flight have 10 bytes, 10 are allowed \(max_bytes_in_flight\)"
    ):
        bodies.take(1)
    bodies.give_back(4)
    bodies.take(4)


@pytest.mark.shows("KERASERVE_MAX_BYTES_IN_FLIGHT")
async def test_bodies_in_flight_have_a_limit_together(serve_faults, make, red: bytes) -> None:
    arrived, go = asyncio.Semaphore(0), asyncio.Event()

    async def classify(request: m.ClassificationRequest, _: Any) -> m.ClassificationResponse:
        arrived.release()
        await go.wait()
        response = m.ClassificationResponse(model_spec=m.model_spec("colours", version=1))
        for _ in request.input.example_list.examples:
            response.result.classifications.add().classes.add(label="x", score=1)
        return response

    address = await serve_faults({services.CLASSIFY: classify})
    size = len(red)
    gateway = await make(
        address, max_bytes_in_flight=2 * size + 10, max_body_bytes=2 * size + 10, max_merged=1
    )

    async def ask() -> int:
        path, headers = "/v1/models/colours/images:classify", {"content-type": "image/png"}
        response = await gateway.post(path, content=red, headers=headers)
        if response.status_code == 429:
            assert response.headers["retry-after"] == "1"
            assert response.json()["type"] == "urn:keraserve:error:busy"
        return response.status_code

    held = [asyncio.create_task(ask()) for _ in range(2)]
    for _ in held:
        await arrived.acquire()
    bodies = gateway.app.state.gateway.bodies
    assert bodies.held == 2 * size
    assert await ask() == 429
    assert bodies.held == 2 * size
    go.set()
    assert [await one for one in held] == [200, 200]
    assert await ask() == 200
    examples = {"examples": [{"a": "x" * (2 * size)}]}
    assert (await gateway.post("/v1/models/colours:classify", json=examples)).status_code in (413, 429)
    assert bodies.held == 0


async def test_a_rejected_request_leaves_nothing_in_memory(make, serve_faults, free_port, red: bytes) -> None:
    """Its body above all; without the garbage collector, which comes by after thousands of requests."""
    gateway = await make(await serve_faults({}), deadline_seconds=0.5, max_body_bytes=1000)

    async def slow() -> AsyncIterator[bytes]:
        yield red[:20]
        await asyncio.sleep(60)

    def contexts() -> list[RequestContext]:
        return [one for one in gc.get_objects() if isinstance(one, RequestContext)]

    address = f"127.0.0.1:{free_port()}"
    front = GrpcServer(address, gateway_of(gateway.app))
    await front.start()
    gc.collect()
    gc.disable()
    try:
        for content, packed, status in (
            (b"no image", {}, 415),
            (red[:50], {}, 400),
            (b"no gzip", {"content-encoding": "gzip"}, 400),
            (bytes(2000), {}, 413),
            (slow(), {}, 408),
            (red, {}, 501),
        ):
            path, headers = "/v1/models/colours/images:classify", {"content-type": "image/png", **packed}
            assert (await gateway.post(path, content=content, headers=headers)).status_code == status
            await asyncio.sleep(0.01)
            assert not contexts(), status
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="is no PredictRequest"):
                await channel.unary_unary(services.PREDICT.path)(b"\xff" * 500)
        await front.stop(0)
        await asyncio.sleep(0.01)
        assert not contexts(), "gRPC"
    finally:
        gc.enable()
        await front.stop(0)


async def test_requests_leave_nothing_to_the_garbage_collector() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ab"})

    async def left_by(requests: int) -> int:
        gc.collect()
        gc.disable()
        try:
            written = await responses(app, *[POST] * requests)
            assert written.count(b"\r\n\r\nab") == requests
            return gc.collect()
        finally:
            gc.enable()

    await left_by(1)  # what is made once
    assert await left_by(31) < await left_by(1) + 30


def test_the_limits_of_the_deployments_fit_the_defaults() -> None:
    root = Path(__file__).parents[2]
    for file, pattern in (
        ("compose.yaml", r"GATEWAY_MEMORY:-(\d+)m\}"),
        ("docker/swarm/stack.yaml", r"GATEWAY_MEMORY:-(\d+)m\}"),
        ("docker/kubernetes/base/gateway.yaml", r"limits: \{memory: (\d+)Mi\}"),
    ):
        (mebibytes,) = re.findall(pattern, (root / file).read_text())
        assert plan(Settings(), int(mebibytes) * MIB).reason is None, file
