"""What uvicorn writes of a response leaves in one piece, and nothing of it is kept back."""

import asyncio
import gc
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from keraserve_gateway.http.server.connection import ConnectionLimits, connection_class
from keraserve_gateway.telemetry.metrics import Metrics

POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n"


class Wire(asyncio.Transport):
    """Keeps what is written, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else default

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def talk(app: Any, *requests: bytes) -> Wire:
    config = Config(app, lifespan="off", log_config=None)
    config.load()
    wire = Wire()
    make: Any = connection_class(ConnectionLimits(1024, 5, 5, 5, 8), lambda *_: None, Metrics())
    connection = make(config, ServerState(), {}, asyncio.get_running_loop())
    connection.connection_made(wire)
    for request in requests:
        connection.data_received(request)
        for _ in range(20):
            await asyncio.sleep(0)
    closed = wire.closed
    connection.connection_lost(None)
    wire.closed = closed
    return wire


def responding(*parts: bytes, length: int | None = None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-length", str(length).encode())] if length is not None else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number, part in enumerate(parts or [b""], 1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})

    return app


async def test_a_whole_response_is_one_piece() -> None:
    wire = await talk(responding(b"ab", length=2), POST + b"\r\n{}", POST + b"\r\n{}")
    assert [piece.endswith(b"\r\n\r\nab") for piece in wire.pieces] == [True, True]


async def test_the_parts_of_a_long_response_leave_as_they_come() -> None:
    wire = await talk(responding(b"ab", b"cd", b"ef", length=6), POST + b"\r\n{}")
    assert len(wire.pieces) == 3
    assert b"".join(wire.pieces).endswith(b"\r\n\r\nabcdef")


async def test_a_response_in_chunks_is_whole() -> None:
    wire = await talk(responding(b"ab", b"cd"), POST + b"\r\n{}")
    assert b"".join(wire.pieces).endswith(b"\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")


@pytest.mark.parametrize("connection", [b"", b"connection: close\r\n"])
async def test_a_head_alone_leaves(connection: bytes) -> None:
    wire = await talk(responding(length=7), b"HEAD / HTTP/1.1\r\nhost: x\r\n" + connection + b"\r\n")
    assert b"".join(wire.pieces).startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.closed == bool(connection)


async def test_an_empty_response_leaves() -> None:
    wire = await talk(responding(length=0), POST + b"\r\n{}")
    assert b"".join(wire.pieces).endswith(b"content-length: 0\r\n\r\n")


async def test_who_waits_before_sending_the_body_is_told_to_go_on() -> None:
    wire = await talk(responding(b"ab", length=2), POST + b"expect: 100-continue\r\n\r\n", b"{}")
    assert wire.pieces[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert wire.pieces[1].endswith(b"\r\n\r\nab")


async def test_an_application_that_breaks_off_leaves_its_head_and_the_end() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    wire = await talk(app, POST + b"\r\n{}")
    assert b"".join(wire.pieces).startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.closed


async def test_requests_leave_nothing_to_the_garbage_collector() -> None:
    app = responding(b"ab", length=2)

    async def left_by(requests: int) -> int:
        gc.collect()
        gc.disable()
        try:
            await talk(app, *[POST + b"\r\n{}"] * requests)
            return gc.collect()
        finally:
            gc.enable()

    await left_by(1)  # what is made once
    assert await left_by(31) < await left_by(1) + 30
