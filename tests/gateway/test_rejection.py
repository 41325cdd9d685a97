"""What has no place, over real connections: rejected as the application would, and cheaply."""

import asyncio
import json
import re
from typing import Any

import httpx2
import pytest
from gateway.test_http_connection import http_port

from keraserve_protocol import messages as m
from keraserve_protocol import services

IMAGES, PREDICT = "/v1/models/colours/images:classify", "/v1/models/colours:predict"
PNG = {"content-type": "image/png"}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def full(serve_faults, start_gateway, make, red: bytes):
    """A gateway process, and one in this process without connections, with their only place taken."""
    arrived, go = asyncio.Semaphore(0), asyncio.Event()

    async def waits(request: Any, context: Any) -> Any:
        arrived.release()
        await go.wait()
        response = m.GetModelStatusResponse()
        response.model_version_status.add(version=1, state=30)
        return response

    address = await serve_faults({services.GET_MODEL_STATUS: waits})
    flags = ("--max-in-flight=1", "--max-waiting=0", "--models=colours", "--port=0", "--grpc-port=0")
    flags += ("--header-seconds=1", "--idle-seconds=4")
    _, log = start_gateway(*flags, f"--model-server={address}")
    application = await make(address, max_in_flight=1, max_waiting=0)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{await http_port(log)}", timeout=30) as gateway:
        first = [asyncio.create_task(one.get("/v1/models")) for one in (gateway, application)]
        for _ in first:
            await arrived.acquire()
        yield gateway, application, log
        go.set()
        assert [(await one).status_code for one in first] == [200, 200]
        assert (await gateway.get("/v1/models")).status_code == 200


@pytest.mark.shows("KERASERVE_MAX_WAITING")
async def test_the_response_is_that_of_the_application(full, red: bytes) -> None:
    gateway, application, _ = full
    for path in (IMAGES, PREDICT, "/v2/models/colours/infer", "/v1/models/colours/versions/1:predict"):
        for headers in ({**PNG, "x-request-id": "4", "traceparent": TRACE}, PNG):
            ours, its = [await one.post(path, content=red, headers=headers) for one in (gateway, application)]
            assert (
                (ours.status_code, ours.reason_phrase)
                == (429, "Too Many Requests")
                == (its.status_code, its.reason_phrase)
            )
            assert set(ours.headers) == set(its.headers) | {"date"}
            for name in ("retry-after", "content-type", "x-content-type-options", "traceparent"):
                assert ours.headers.get(name) == its.headers.get(name)
            for response in (ours, its):
                response.said = response.json()
                assert (
                    response.said.pop("request_id", response.headers["x-request-id"])
                    == response.headers["x-request-id"]
                )
            assert ours.said == its.said
            assert (ours.headers["x-request-id"] == "4") == ("x-request-id" in headers)


async def test_health_and_metrics_are_never_rejected(full) -> None:
    gateway, _, _ = full
    for path in ("/livez", "/metrics", "/v2/health/live", "/", "/docs"):
        assert (await gateway.get(path)).status_code == 200
    assert (await gateway.head("/v1/models")).status_code == 429


async def test_a_connection_is_kept_although_a_rejected_body_follows(full) -> None:
    gateway, _, _ = full
    reader, writer = await asyncio.open_connection(gateway.base_url.host, gateway.base_url.port)
    head = f"POST {IMAGES} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n".encode()
    for _ in range(3):
        writer.write(head)
        response = await reader.readuntil(b"\r\n\r\n")  # before there is a body
        assert response.startswith(b"HTTP/1.1 429 ")
        await reader.readexactly(int(response.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(bytes(1_000_000))
    writer.write(
        head.replace(b"1000000", b"2")
        + b"{}"
        + b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    )
    last = await reader.read()
    assert [last.count(b"HTTP/1.1 429 "), last.count(b"HTTP/1.1 200 "), last[-3:]] == [1, 1, b"ok\n"]
    writer.close()


async def test_rejected_and_served_requests_may_arrive_together(full) -> None:
    """Bodies are skipped in whatever pieces they come; responses keep the order of the requests."""
    gateway, _, _ = full
    reader, writer = await asyncio.open_connection(gateway.base_url.host, gateway.base_url.port)
    post, chunked = f"POST {IMAGES} HTTP/1.1\r\nhost: x\r\n", "transfer-encoding: chunked\r\n\r\n"
    live = "GET /livez HTTP/1.1\r\nhost: x\r\n"
    writer.write(
        (
            f"{post}content-length: 3\r\n\r\nabc{live}\r\n"
            f"{post}{chunked}3\r\nabc\r\n0\r\ntrailer: 1\r\n\r\n"
            f"GET /v1/models?named=%20#part HTTP/1.1\r\nhost: x\r\n\r\n{live}connection: close\r\n\r\n"
        ).encode()
    )
    responses = (await reader.read()).decode()
    assert re.findall("HTTP/1.1 ([0-9]+) ", responses) == ["429", "200", "429", "429", "200"]
    writer.close()


async def test_after_a_rejection_a_connection_is_as_idle_as_after_a_response(full) -> None:
    """Longer than a head may take, even if the body came later; not for ever."""
    gateway, _, _ = full
    reader, writer = await asyncio.open_connection(gateway.base_url.host, gateway.base_url.port)
    for _ in range(2):
        writer.write(f"POST {IMAGES} HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n".encode())
        response = await reader.readuntil(b"\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 429 ")
        await reader.readexactly(int(response.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.write(b"abc")
        await asyncio.sleep(2)
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()


async def test_unread_rejections_fill_no_memory(full) -> None:
    """What is pipelined is not read either, once the responses to what came before wait to be."""
    gateway, _, _ = full
    _, writer = await asyncio.open_connection(gateway.base_url.host, gateway.base_url.port)
    request = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"

    async def pour() -> None:  # 40 MB; the responses have ten times as much
        for _ in range(1000):
            writer.write(1000 * request)
            await writer.drain()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pour(), 10)
    writer.transport.abort()
    assert (await gateway.get("/livez")).status_code == 200


@pytest.mark.shows("more requests rejected")
async def test_all_rejections_are_counted_and_one_line_a_second_is_logged(full, red: bytes) -> None:
    gateway, _, log = full
    responses = [await gateway.post(IMAGES, content=red, headers=PNG) for _ in range(20)]
    metrics = (await gateway.get("/metrics")).text
    labels = '{code="429",model="",protocol="http",version=""}'
    assert f"keraserve_gateway_requests_total{labels} 20.0" in metrics
    assert 'keraserve_gateway_rejected_total{reason="busy"} 20.0' in metrics
    async with asyncio.timeout(30):
        while sum(counts(text := log.read_text())) < 20:
            await asyncio.sleep(0.1)
    assert sum(counts(text)) == 20
    assert responses[0].headers["x-request-id"] in text
    assert responses[1].headers["x-request-id"] not in text


def counts(log: str) -> list[int]:
    lines = [json.loads(line) for line in log.splitlines()]
    return [line.get("count", 1) for line in lines if line.get("error") == "busy"]


@pytest.mark.shows("KERASERVE_MAX_IN_FLIGHT")
async def test_a_slow_model_blocks_no_other(serve_faults, start_gateway, red: bytes) -> None:
    """Over HTTP, where what has no place is rejected early, and by other paths, models and keys."""
    arrived, go = asyncio.Semaphore(0), asyncio.Event()

    async def classify(request: m.ClassificationRequest, context: Any) -> Any:
        if request.model_spec.name == "slow":
            arrived.release()
            await go.wait()
        response = m.ClassificationResponse(model_spec=m.model_spec("colours", version=1))
        response.result.classifications.add().classes.add(label="x", score=1)
        return response

    address = await serve_faults({services.CLASSIFY: classify})
    flags = ("--max-in-flight=4", "--max-waiting=0", "--models=slow,fast", "--port=0", "--grpc-port=0")
    _, log = start_gateway(*flags, "--max-merged=1", f"--model-server={address}")
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{await http_port(log)}", timeout=30) as gateway:

        async def ask(model: str) -> int:
            path = f"/v1/models/{model}/images:classify"
            return (await gateway.post(path, content=red, headers=PNG)).status_code

        slow = [asyncio.create_task(ask("slow")) for _ in range(4)]
        for _ in slow:
            await arrived.acquire()
        assert await ask("slow") == 429
        assert [await ask("fast") for _ in range(5)] == [200] * 5
        assert await ask("unknown") == 200  # the model server's to reject
        go.set()
        assert [await one for one in slow] == [200] * 4
