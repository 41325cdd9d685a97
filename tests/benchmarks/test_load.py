"""The load generator's open loop, before a server that refuses, hangs up, and answers."""

import asyncio
import itertools
from pathlib import Path
from typing import cast

from bench import schedule
from bench.load import Plan, run

STATUSES = ("200 OK", "429 Too Many Requests", "200 OK")


async def test_an_open_loop_counts_every_answer_and_outlives_closed_connections(tmp_path: Path) -> None:
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
        found = await run(Plan(port, "/", "text/plain", [str(tmp_path / "body")], 0, 400.0, 0.0, 1.0))
        await asyncio.gather(*handlers)
    asked = len(list(schedule.arrivals(400.0, 1.0)))
    assert next(turns) == asked
    assert closed == asked // 10
    assert set(found.statuses) == {200, 429}
    assert found.statuses[200] == len(found.milliseconds)
    assert (
        asked - 50 < sum(found.statuses.values()) <= asked
    )  # the last ones may come after the time that counts
