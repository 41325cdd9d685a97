"""The load generator against servers that respond, reject and close connections."""

import asyncio
import itertools
from pathlib import Path
from typing import cast

import pytest
from bench.load import arrivals
from bench.load.generator import run
from bench.load.specification import LoadSpecification

STATUSES = ("200 OK", "429 Too Many Requests", "200 OK")


async def test_an_open_loop_counts_every_response_although_connections_close(tmp_path: Path) -> None:
    turns, closed, handlers = itertools.count(), 0, list["asyncio.Task[None]"]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal closed
        handlers.append(cast("asyncio.Task[None]", asyncio.current_task()))
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\nabc")
            turn = next(turns)
            last = turn % 10 == 9
            closed += last
            head = f"HTTP/1.1 {STATUSES[turn % 3]}\r\ncontent-length: 2\r\n"
            writer.write((head + "connection: close\r\n" * last + "\r\nok").encode())
            if last:
                break
        writer.close()
        await writer.wait_closed()

    (tmp_path / "body").write_bytes(b"abc")
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await asyncio.to_thread(
            run, LoadSpecification(port, "/", "text/plain", [str(tmp_path / "body")], 0, 400.0, 0.0, 1.0)
        )
        await asyncio.gather(*handlers)
    sent = len(list(arrivals.poisson(400.0, 1.0)))
    assert next(turns) == sent
    assert closed == sent // 10
    assert 256 < len(handlers) <= 256 + closed  # only closed ones are opened again
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
        writer.close()

    (tmp_path / "body").write_bytes(body)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        load = LoadSpecification(
            port, "/", "text/plain", [str(tmp_path / "body")], 3, warm_up=0.0, seconds=0.3
        )
        found = await asyncio.to_thread(run, load)
    assert connections == 3
    assert all(right)
    assert found.statuses == {200: len(found.milliseconds)} == {200: len(right)}


async def test_an_early_response_ends_its_connection(tmp_path: Path) -> None:
    """The server would read the unsent rest of the first request as the second one."""
    heads, handlers = list[bytes](), list["asyncio.Task[None]"]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(cast("asyncio.Task[None]", asyncio.current_task()))
        heads.append(await reader.readline())
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.close()

    (tmp_path / "body").write_bytes(bytes(32 << 20))  # more than sockets hold
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        load = LoadSpecification(
            port, "/", "text/plain", [str(tmp_path / "body")], 1, warm_up=0.0, seconds=0.5
        )
        found = await asyncio.to_thread(run, load)
        await asyncio.gather(*handlers)
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
