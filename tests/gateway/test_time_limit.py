"""Time limits that share one timer: each ends what is its own, and nothing else."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from keraserve_gateway.time_limit import TimeLimit


async def wait(seconds: float) -> str:
    try:
        with TimeLimit(seconds):
            await asyncio.sleep(30)
    except TimeoutError:
        return "over"
    return "slept"


async def test_limits_end_at_their_times_in_any_order() -> None:
    ended: list[float] = []

    async def one(seconds: float) -> None:
        assert await wait(seconds) == "over"
        ended.append(seconds)

    async with asyncio.timeout(10):
        await asyncio.gather(*map(one, (0.3, 0.1, 0.4, 0.2, 0.0)))
    assert ended == [0.0, 0.1, 0.2, 0.3, 0.4]


async def test_many_unused_limits_set_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, timers = asyncio.get_running_loop(), list[float]()
    real = loop.call_at

    def call_at(when: float, *given: Any, **named: Any) -> asyncio.TimerHandle:
        timers.append(when)
        return real(when, *given, **named)

    monkeypatch.setattr(loop, "call_at", call_at)
    for _ in range(100):
        with TimeLimit(20):
            await asyncio.sleep(0)
    assert len(timers) == 1


async def test_a_timer_that_fires_early_ends_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As uvloop does, which rounds to milliseconds; else the timer would be set again and again."""
    loop, called = asyncio.get_running_loop(), list[Callable[..., None]]()
    real = loop.call_at

    def call_at(when: float, callback: Callable[..., None], *given: Any, **named: Any) -> asyncio.TimerHandle:
        called.append(callback)
        return real(when, callback, *given, **named)

    monkeypatch.setattr(loop, "call_at", call_at)
    task = asyncio.create_task(wait(20))
    await asyncio.sleep(0)
    ring, _sleep = called
    ring()
    async with asyncio.timeout(10):
        assert await task == "over"


async def test_a_limit_after_an_unused_one_ends() -> None:
    with TimeLimit(0.1):
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert await wait(0.2) == "over"  # the first one's timer finds it, and is set again


async def test_an_inner_limit_does_not_end_the_outer_one() -> None:
    with TimeLimit(20):
        assert await wait(0.05) == "over"
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), TimeLimit(0.05):
        await wait(20)


async def test_two_limits_that_end_together_both_raise() -> None:
    outer, inner = TimeLimit(30), TimeLimit(30)

    async def waiting() -> None:
        with outer, inner:
            await asyncio.sleep(30)

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    outer.end()
    inner.end()
    with pytest.raises(TimeoutError):
        await task
    assert task.cancelling() == 0


async def test_a_task_is_not_cancelled_after_its_limit() -> None:
    assert await wait(0.01) == "over"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_task_cancelled_as_its_limit_ends_is_cancelled() -> None:
    limit = TimeLimit(30)

    async def waiting() -> None:
        with limit:
            await asyncio.sleep(30)

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    task.cancel()
    limit.end()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_task_is_cancelled() -> None:
    task = asyncio.create_task(wait(20))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_other_exceptions_pass() -> None:
    with pytest.raises(KeyError), TimeLimit(20):
        raise KeyError
