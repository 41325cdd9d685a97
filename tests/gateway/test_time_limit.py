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


async def test_each_ends_at_its_own_time_in_any_order() -> None:
    ended: list[float] = []

    async def one(seconds: float) -> None:
        assert await wait(seconds) == "over"
        ended.append(seconds)

    async with asyncio.timeout(10):
        await asyncio.gather(*map(one, (0.3, 0.1, 0.4, 0.2, 0.0)))
    assert ended == [0.0, 0.1, 0.2, 0.3, 0.4]


async def test_many_that_are_in_time_set_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_a_loop_that_rings_early_is_taken_at_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """As uvloop does, which rounds to milliseconds; else it would be asked again and again."""
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


async def test_one_after_another_that_was_in_time_ends_too() -> None:
    with TimeLimit(0.1):
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert await wait(0.2) == "over"  # the first one's timer finds it, and is set again


async def test_the_inner_one_of_two_is_not_the_outer_one() -> None:
    with TimeLimit(20):
        assert await wait(0.05) == "over"
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), TimeLimit(0.05):
        await wait(20)


async def test_when_two_are_over_together_the_outer_one_says_so_too() -> None:
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


async def test_a_task_whose_time_was_over_is_not_cancelled_any_more() -> None:
    assert await wait(0.01) == "over"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_who_is_cancelled_by_others_as_the_time_ends_is_cancelled() -> None:
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


async def test_who_is_cancelled_by_others_is_cancelled() -> None:
    task = asyncio.create_task(wait(20))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_fails_inside_fails_as_it_would() -> None:
    with pytest.raises(KeyError), TimeLimit(20):
        raise KeyError
