"""The timer of a kept connection: it stays while requests come, and is looked after when it rings."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from gateway.test_coalesced_write import POST, Wire
from uvicorn.config import Config
from uvicorn.server import ServerState

from keraserve_gateway.http.server import connection
from keraserve_gateway.http.server.connection import ConnectionLimits, connection_class
from keraserve_gateway.telemetry.metrics import Metrics

IDLE = 4


class Loop:
    """The running loop, with timers that ring when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None], SimpleNamespace]] = []
        self.create_task = asyncio.get_running_loop().create_task

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Any:
        handle = SimpleNamespace(cancelled=False)
        handle.cancel = lambda: setattr(handle, "cancelled", True)
        self.timers.append((self.now + seconds, callback, handle))
        return handle

    def due(self) -> list[float]:
        return [at for at, _, handle in self.timers if not handle.cancelled]

    def ring(self) -> None:
        [(self.now, callback, _)] = [timer for timer in self.timers if not timer[2].cancelled]
        self.timers.clear()
        callback()


class Idle:
    """A connection before an application that answers when it may, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop, self.wire, self.may = Loop(), Wire(), asyncio.Event()
        monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: self.loop.now))

        async def app(_: Any, __: Any, send: Any) -> None:
            await self.may.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})

        config = Config(app, lifespan="off", log_config=None, timeout_keep_alive=IDLE)
        config.load()
        made: Any = connection_class(ConnectionLimits(1024, 5, 5, 5, 8), lambda *_: None, Metrics())
        self.connection = made(config, ServerState(), {}, self.loop)
        self.connection.connection_made(self.wire)
        self.may.set()

    async def ask(self) -> None:
        self.connection.data_received(POST + b"\r\n{}")
        await self.settle()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.mark.shows("KERASERVE_IDLE_SECONDS")
async def test_a_connection_ends_when_it_has_been_idle_since_its_last_answer(monkeypatch) -> None:
    idle = Idle(monkeypatch)
    for _ in range(3):
        await idle.ask()
        assert idle.loop.due() == [100.0 + IDLE]
        idle.loop.now += 1
    idle.loop.ring()
    assert idle.loop.due() == [102.0 + IDLE]
    assert not idle.wire.closed
    idle.loop.ring()
    assert idle.wire.closed


async def test_a_request_in_work_is_waited_for(monkeypatch) -> None:
    idle = Idle(monkeypatch)
    await idle.ask()
    idle.may.clear()
    await idle.ask()
    idle.loop.ring()
    assert idle.loop.due() == []
    idle.loop.now += 60
    idle.may.set()
    await idle.settle()
    assert idle.loop.due() == [idle.loop.now + IDLE]
    assert not idle.wire.closed


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_a_connection_that_ends_leaves_no_timer(monkeypatch, error: Exception | None) -> None:
    idle = Idle(monkeypatch)
    await idle.ask()
    idle.connection.connection_lost(error)
    assert idle.loop.due() == []
