"""What a client may do to a connection, over raw sockets, against the real process."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keraserve_protocol import messages as m
from keraserve_protocol import services

Talk = Callable[..., Awaitable[bytes]]

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n"


async def logged(log: Path, words: str) -> list[str]:
    """Wait for a line with these words; gives all such lines."""
    for _ in range(600):
        if lines := [line for line in log.read_text().splitlines() if words in line]:
            return lines
        await asyncio.sleep(0.05)
    raise AssertionError(log.read_text())


async def http_port(log: Path) -> int:
    (line,) = await logged(log, '"listening"')
    return int(json.loads(line)["http"].rpartition(":")[2])


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The log of a gateway with tight bounds."""
    path = tmp_path_factory.mktemp("gateway") / "log"
    flags = ("max-header-bytes=4096", "header-seconds=0.6", "idle-seconds=1", "deadline-seconds=1")
    command = [str(Path(sys.executable).with_name("keraserve-gateway")), "--port=0", "--grpc-port=0"]
    with path.open("wb") as out:
        process = subprocess.Popen([*command, *(f"--{flag}" for flag in flags)], stdout=out, stderr=out)
    yield path
    process.kill()
    process.wait(10)
    assert "Traceback" not in path.read_text()


@pytest.fixture
def talk(log: Path) -> Talk:
    """Send pieces, the last again and again if there is a pause; read until the gateway closes."""

    async def send(*pieces: bytes, pause: float = 0) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", await http_port(log))

        async def write() -> None:
            writer.writelines(pieces)
            while pause:
                await asyncio.sleep(pause)
                writer.write(pieces[-1])
                await writer.drain()

        writing = asyncio.create_task(write())
        response = b""
        try:
            async with asyncio.timeout(30):
                while more := await reader.read(65536):
                    response += more
        except ConnectionError:
            pass
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        writer.close()
        return response

    return send


def problem(response: bytes, status: int) -> dict[str, Any]:
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), response
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    said = json.loads(body)
    assert said["status"] == status
    assert said["request_id"].encode() in head
    return said


@pytest.mark.shows("431", "KERASERVE_MAX_HEADER_BYTES", "connection rejected")
async def test_a_head_has_a_limit(talk: Talk, log: Path) -> None:
    for head in (
        GET + b"X: " + b"a" * 5000 + b"\r\n\r\n",
        GET + b"A: b\r\n" * 1000 + b"\r\n",
        b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n",
        GET + b"X: " + b"a" * 5_000_000,
        b"\r\n" * 5000,
    ):
        said = problem(await talk(head), 431)
        assert "4096 bytes" in said["detail"]
        (line,) = await logged(log, said["request_id"])
        assert '"event":"connection rejected"' in line
    assert (await talk(GET + b"X: " + b"a" * 3000 + b"\r\n\r\n")).endswith(b"ok\n")


@pytest.mark.shows("431")
async def test_trailers_and_chunk_extensions_have_a_limit(talk: Talk) -> None:
    head = b"POST /v1/models/x:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
    for endless in (
        b"0\r\n" + b"X: " + b"a" * 500_000,
        b"0\r\n" + b"A: b\r\n" * 1000,
        b"1;" + b"a" * 500_000,
    ):
        problem(await talk(head + endless), 431)


@pytest.mark.shows("408", "KERASERVE_HEADER_SECONDS")
async def test_a_slow_head_gets_408(talk: Talk) -> None:
    said = problem(await talk(GET, b"A: b\r\n", pause=0.1), 408)
    assert "0.6 seconds" in said["detail"]
    # Also as the second request of a connection.
    response = await talk(GET + b"\r\n" + GET, b"A: b\r\n", pause=0.1)
    assert b"ok\n" in response
    assert b"HTTP/1.1 408" in response


@pytest.mark.shows("KERASERVE_IDLE_SECONDS")
async def test_a_connection_without_a_request_ends(talk: Talk) -> None:
    assert await talk() == b""
    assert await talk(b"\r\n", pause=0.1) == b""
    response = await talk(GET + b"\r\n")
    assert response.startswith(b"HTTP/1.1 200 ")
    assert response.endswith(b"ok\n")


async def test_a_body_after_the_response_has_a_time_limit(talk: Talk) -> None:
    response = await talk(GET + b"Content-Length: 1000000\r\n\r\n", b"x", pause=0.1)
    assert response.endswith(b"ok\n")


async def test_pipelined_requests_get_responses_in_order(talk: Talk) -> None:
    heads = [b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: %d\r\n\r\n" % n for n in range(10)]
    response = await talk(b"".join(heads))
    ids = [line.split()[1] for line in response.splitlines() if line.startswith(b"x-request-id")]
    assert ids == [b"%d" % n for n in range(10)]
    # Far too many: the first ones get responses, then the connection ends.
    flood = await talk(b"".join(GET + b"\r\n" for _ in range(3000)))
    assert 16 <= flood.count(b"HTTP/1.1 200 ") <= 20
    assert flood.count(b"connection: close") == 1


async def test_a_client_that_expects_100_continue_gets_it(talk: Talk) -> None:
    head = b"POST /v1/models/x:predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n"
    response = await talk(head + b"Expect: 100-continue\r\n\r\n", b"{}")
    assert response.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 4")
    old = head.replace(b"HTTP/1.1", b"HTTP/1.0")  # which has no 100 Continue
    assert (await talk(old + b"Expect: 100-continue\r\n\r\n", b"{}")).startswith(b"HTTP/1.1 4")


@pytest.mark.shows("400")
async def test_http_1_0_is_served_and_other_bytes_get_400(talk: Talk) -> None:
    response = await talk(b"GET /livez HTTP/1.0\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in response
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        b"hello\r\n\r\n",
        GET + b"a\r\n\r\n",
    ):
        problem(await talk(nonsense), 400)


@pytest.mark.shows("Upgrade")
@pytest.mark.parametrize("later", [False, True])
async def test_an_upgrade_is_ignored(talk: Talk, later: bool) -> None:
    """As curl --http2 and Java's HttpClient send it; the body is no request of its own."""
    body = GET + b"\r\n"
    head = b"POST /v1/models/x:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    for upgrade in (b"h2c", b"websocket", b"TLS/1.0"):
        offer = (
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + upgrade + b"\r\nHTTP2-Settings: AA\r\n\r\n"
        )
        last = GET + b"X-Request-ID: last\r\nConnection: close\r\n\r\n"
        response = await talk(head + offer, body, last) if later else await talk(head + offer + body + last)
        assert response.count(b"HTTP/1.1 ") == 2
        assert b"not JSON" in response  # which the body is not, and it was read
        assert b"x-request-id: last" in response


@pytest.mark.shows("400")
@pytest.mark.parametrize(
    "shape",
    [
        b"Content-Length: 4\r\nContent-Length: 0\r\n\r\n",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length:\r\n 4\r\n\r\n",
        b"Content-Length : 4\r\n\r\n",
        b"Content-Length: +4\r\n\r\n",
        b"X: a\nContent-Length: 4\r\n\r\n",
        b"Host: x\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\nx\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n",
    ],
)
async def test_ambiguous_requests_are_rejected(talk: Talk, shape: bytes) -> None:
    response = await talk(b"POST /v1/models/x:predict HTTP/1.1\r\nHost: x\r\n" + shape + GET + b"\r\n")
    assert problem(response, 400)["detail"].startswith("this is not HTTP/1.1, or the request is malformed: ")
    assert response.count(b"HTTP/1.1 ") == 1


@pytest.mark.shows("400")
async def test_a_request_has_one_host(talk: Talk) -> None:
    assert "Host header is missing" in problem(await talk(b"GET /livez HTTP/1.1\r\n\r\n"), 400)["detail"]
    problem(await talk(GET + b"Host: x\r\n\r\n"), 400)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(GET + b"\r\n")
    return await asyncio.wait_for(reader.readuntil(b"ok\n"), 20)


@pytest.mark.shows(
    "KERASERVE_MAX_CONNECTIONS", "keraserve_gateway_connections", "keraserve_gateway_connections_ended_total"
)
async def test_connections_have_a_limit(start_gateway) -> None:
    """Who holds connections and does nothing with them keeps nobody out."""
    _, log = start_gateway("--port=0", "--grpc-port=0", "--max-connections=3")
    port = await http_port(log)
    first = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(*first)
    quiet = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    for reader, writer in quiet:
        assert await ask(reader, writer)
    assert await ask(*first)  # so the second is the one that has been quiet for longest
    newest = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(*newest)
    assert await asyncio.wait_for(quiet[0][0].read(), 20) == b""
    assert await ask(*first)
    idlers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
    late = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(*late)
    for reader, _ in idlers[:-2]:
        assert await asyncio.wait_for(reader.read(), 20) == b""
    late[1].write(GET.replace(b"livez", b"metrics") + b"\r\n")
    page = (
        await asyncio.wait_for(late[0].readuntil(b"keraserve_gateway_connections_ended_created"), 20)
    ).decode()
    assert 'keraserve_gateway_connections{protocol="http"} 3.0' in page
    assert 'keraserve_gateway_connections_ended_total{protocol="http",reason="idle"} 52.0' in page
    for _, writer in (first, *quiet, newest, *idlers, late):
        writer.close()


@pytest.mark.shows("503", "KERASERVE_MAX_CONNECTIONS")
async def test_a_connection_with_a_request_in_flight_is_kept(start_gateway, slow_status) -> None:
    address, arrived, go = slow_status
    _, log = start_gateway("--port=0", "--grpc-port=0", "--max-connections=1", f"--model-server={address}")
    port = await http_port(log)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET.replace(b"livez", b"v1/models/x") + b"\r\n")
    await asyncio.wait_for(arrived.wait(), 20)
    rejected_reader, rejected_writer = await asyncio.open_connection("127.0.0.1", port)
    rejected_writer.write(GET.replace(b"livez", b"v1/models") + b"\r\n")
    rejected = await asyncio.wait_for(rejected_reader.read(), 20)
    assert problem(rejected, 503)["detail"] == "as many connections are open as are allowed (max_connections)"
    assert b"retry-after: 1" in rejected
    for probe in (b"livez", b"readyz", b"healthz", b"metrics", b"v2/health/live", b"v2/health/ready?x"):
        probe_reader, probe_writer = await asyncio.open_connection("127.0.0.1", port)
        probe_writer.write(GET.replace(b"livez", probe) + b"\r\n")
        response = await asyncio.wait_for(probe_reader.read(), 20)  # until it is closed: it was one too many
        assert response.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 503 "))
        assert b"as many connections" not in response
        probe_writer.close()
    go.set()
    assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 200 ")
    for one in (writer, rejected_writer):
        one.close()


@pytest.mark.shows("client went away")
async def test_a_client_that_closes_cancels_its_call(start_gateway, serve_faults, red: bytes) -> None:
    arrived, ended = asyncio.Event(), asyncio.Event()

    async def waits(request: m.ClassificationRequest, context: Any) -> m.ClassificationResponse:
        arrived.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return m.ClassificationResponse()

    address = await serve_faults({services.CLASSIFY: waits})
    _, log = start_gateway("--port=0", "--grpc-port=0", f"--model-server={address}", "--max-in-flight=1")
    port = await http_port(log)
    head = b"POST /v1/models/x/images:classify HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(red) + red)
    await asyncio.wait_for(arrived.wait(), 20)
    writer.close()
    await asyncio.wait_for(ended.wait(), 20)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET.replace(b"livez", b"metrics") + b"Connection: close\r\n\r\n")
    metrics = await reader.read(-1)
    writer.close()
    assert b"requests_in_flight 0.0" in metrics
    assert b'code="499"' in metrics
    assert await logged(log, "client went away")
    assert "Traceback" not in log.read_text()
