"""The timer of a kept connection: it stays while requests come, and is checked when it fires."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from gateway.recorded_connection import POST, connect, send

from keraserve_gateway.http.server import connection

IDLE = 4


class Loop:
    """The running loop, with timers that fire when they are told to."""

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

    def fire(self) -> None:
        [(self.now, callback, _)] = [timer for timer in self.timers if not timer[2].cancelled]
        self.timers.clear()
        callback()


class Idle:
    """A connection before an application that responds when it may, on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop, self.may = Loop(), asyncio.Event()
        monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: self.loop.now))

        async def app(_: Any, __: Any, send: Any) -> None:
            await self.may.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})

        self.connection, self.transport = connect(app, self.loop, timeout_keep_alive=IDLE)
        self.may.set()

    async def request(self) -> None:
        await send(self.connection, POST)


@pytest.mark.shows("KERASERVE_IDLE_SECONDS")
async def test_a_connection_ends_when_it_has_been_idle_since_its_last_response(monkeypatch) -> None:
    idle = Idle(monkeypatch)
    for _ in range(3):
        await idle.request()
        assert idle.loop.due() == [100.0 + IDLE]
        idle.loop.now += 1
    idle.loop.fire()
    assert idle.loop.due() == [102.0 + IDLE]
    assert not idle.transport.closed
    idle.loop.fire()
    assert idle.transport.closed


async def test_the_timer_waits_for_a_request_in_flight(monkeypatch) -> None:
    idle = Idle(monkeypatch)
    await idle.request()
    idle.may.clear()
    await idle.request()
    idle.loop.fire()
    assert idle.loop.due() == []
    idle.loop.now += 60
    idle.may.set()
    await asyncio.sleep(0.01)
    assert idle.loop.due() == [idle.loop.now + IDLE]
    assert not idle.transport.closed


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_a_connection_that_ends_leaves_no_timer(monkeypatch, error: Exception | None) -> None:
    idle = Idle(monkeypatch)
    await idle.request()
    idle.connection.connection_lost(error)
    assert idle.loop.due() == []
