"""The load generator against servers that respond, reject and close connections."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest
from bench.load import arrivals
from bench.load.generator import run
from bench.load.specification import LoadResult, LoadSpecification

STATUSES = ("200 OK", "429 Too Many Requests", "200 OK")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def measured(serve: Serve, body: Path, clients: int, **settings: float) -> LoadResult:
    """Send a load to a server that handles its connections with `serve`, until all of them have ended."""
    handlers = list[asyncio.Task[None]]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(cast("asyncio.Task[None]", asyncio.current_task()))
        await serve(reader, writer)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        load = LoadSpecification(port, "/", "text/plain", [str(body)], clients, warm_up=0.0, **settings)
        found = await asyncio.to_thread(run, load)
        await asyncio.gather(*handlers)
    return found


async def test_an_open_loop_counts_every_response_although_connections_close(tmp_path: Path) -> None:
    turns, closed, connections = itertools.count(), 0, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal closed, connections
        connections += 1
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\nabc")
            turn = next(turns)
            last = turn % 10 == 9
            closed += last
            head = f"HTTP/1.1 {STATUSES[turn % 3]}\r\ncontent-length: 2\r\n"
            writer.write((head + "connection: close\r\n" * last + "\r\nok").encode())
            if last:
                break

    (tmp_path / "body").write_bytes(b"abc")
    found = await measured(serve, tmp_path / "body", 0, rate=400.0, seconds=1.0)
    sent = len(list(arrivals.poisson(400.0, 1.0)))
    assert next(turns) == sent
    assert closed == sent // 10
    assert 256 < connections <= 256 + closed  # only closed ones are opened again
    assert set(found.statuses) == {200, 429}
    assert found.statuses[200] == len(found.milliseconds)
    assert sent - 50 < sum(found.statuses.values()) <= sent  # the last ones may come too late to count


async def test_a_closed_loop_keeps_its_connections_and_sends_large_bodies_in_parts(
    tmp_path: Path,
) -> None:
    body, connections, right = bytes(range(256)) * (1 << 15), 0, list[bool]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            right.append(await reader.readexactly(len(body)) == body)
            for piece in (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", b"0\r\n\r\n"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)

    (tmp_path / "body").write_bytes(body)
    found = await measured(serve, tmp_path / "body", 3, seconds=0.3)
    assert connections == 3
    assert all(right)
    assert found.statuses == {200: len(found.milliseconds)} == {200: len(right)}


async def test_an_early_response_ends_its_connection(tmp_path: Path) -> None:
    """The server would read the unsent rest of the first request as the second one."""
    heads = list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readline())
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await asyncio.sleep(0.05)

    (tmp_path / "body").write_bytes(bytes(32 << 20))  # more than sockets hold
    found = await measured(serve, tmp_path / "body", 1, seconds=0.5)
    assert len(heads) > 1
    assert set(heads) == {b"POST / HTTP/1.1\r\n"}
    assert found.statuses == {413: len(heads)}


@pytest.mark.parametrize("said", [b"", b"no HTTP\r\n\r\n"])
async def test_a_closed_loop_ends_when_its_server_does(said: bytes) -> None:
    server: asyncio.Server

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        server.close()
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    found = await asyncio.to_thread(run, LoadSpecification(port, "/", "", [], 2, warm_up=0.0, seconds=60.0))
    assert found.statuses == {0: 2}
