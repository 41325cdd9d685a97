"""Places and the queue for them."""

import asyncio

import pytest

from keraserve_gateway.admission import Admission
from keraserve_gateway.errors import Draining, Overloaded


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.shows("KERASERVE_MAX_WAITING")
async def test_a_few_wait_in_order_and_the_others_are_rejected_at_once() -> None:
    admission, go, entered = Admission(1, waiting=2, seconds=30), asyncio.Event(), list[int]()

    async def visit(number: int) -> None:
        async with admission.slot(30):
            entered.append(number)
            await go.wait()

    visits = [asyncio.create_task(visit(0))]
    for number in (1, 2):
        await until(lambda: len(entered) + admission.waiting == len(visits))
        visits.append(asyncio.create_task(visit(number)))
    await until(lambda: admission.waiting == 2)
    with pytest.raises(Overloaded, match="1 requests are in flight"):
        await visit(3)
    go.set()
    await asyncio.gather(*visits)
    assert entered == [0, 1, 2]
    assert (admission.in_flight, admission.waiting) == (0, 0)
    await visit(4)


async def test_a_request_right_after_others_have_ended_gets_a_slot() -> None:
    admission, go, served = Admission(4, waiting=1, seconds=30), asyncio.Event(), list[int]()

    async def visit(number: int) -> None:
        async with admission.slot(30):
            await go.wait()
        async with admission.slot(30):  # who waited has its place by then, and has not run yet
            served.append(number)

    visits = [asyncio.create_task(visit(number)) for number in range(5)]
    await until(lambda: admission.waiting == 1)
    assert admission.available == 0
    go.set()
    await asyncio.gather(*visits)
    assert sorted(served) == [0, 1, 2, 3, 4]
    assert (admission.in_flight, admission.waiting, admission.available) == (0, 0, 5)


async def test_the_slot_of_a_waiter_that_was_cancelled_goes_to_the_next() -> None:
    admission, entered = Admission(1, waiting=2, seconds=30), asyncio.Event()

    async def visit() -> None:
        async with admission.slot(30):
            entered.set()

    async with admission.slot(30):
        leaving, staying = [asyncio.create_task(visit()) for _ in range(2)]
        await until(lambda: admission.waiting == 2)
    leaving.cancel()  # it has its place, and has not run yet
    await asyncio.wait([leaving, staying])
    assert leaving.cancelled()
    assert entered.is_set()
    assert (admission.in_flight, admission.waiting) == (0, 0)


@pytest.mark.shows("KERASERVE_MAX_WAITING")
async def test_no_request_waits_longer_than_allowed_or_than_its_deadline() -> None:
    for seconds, left in ((0.01, 30.0), (30.0, 0.01)):
        admission = Admission(1, waiting=1, seconds=seconds)
        async with admission.slot(30):
            with pytest.raises(Overloaded, match="in time"):
                async with admission.slot(left):
                    pass
        assert await admission.drain(0.1)


async def test_a_cancelled_waiter_takes_no_slot() -> None:
    admission = Admission(1, waiting=1, seconds=30)

    async def visit() -> None:
        async with admission.slot(30):
            pass

    async with admission.slot(30):
        waiting = asyncio.create_task(visit())
        await until(lambda: admission.waiting == 1)
        waiting.cancel()
        await asyncio.wait([waiting])
    await visit()
    assert (admission.in_flight, admission.waiting) == (0, 0)


async def test_draining_serves_waiting_requests_and_rejects_new_ones() -> None:
    admission, go, served = Admission(1, waiting=1, seconds=30), asyncio.Event(), list[int]()

    async def visit(number: int) -> None:
        async with admission.slot(30):
            await go.wait()
            served.append(number)

    visits = [asyncio.create_task(visit(number)) for number in (0, 1)]
    await until(lambda: admission.in_flight + admission.waiting == 2)
    drained = asyncio.create_task(admission.drain(30))
    await until(lambda: admission.draining)
    with pytest.raises(Draining):
        await visit(2)
    go.set()
    assert await drained
    assert served == [0, 1]
    await asyncio.gather(*visits)


SLOW, FAST, THIRD = ("slow", ""), ("fast", ""), ("fast", "another key")


class Visits:
    """Requests that stay until they are let go."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.inside: list[tuple[str, str]] = []
        self.tasks: set[asyncio.Task[None]] = set()

    def come(self, group: tuple[str, str], times: int = 1) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._visit(group)) for _ in range(times)]
        self.tasks.update(tasks)
        return tasks

    async def _visit(self, group: tuple[str, str]) -> None:
        async with self.admission.slot(30, group):
            self.inside.append(group)
            try:
                await asyncio.Event().wait()
            finally:
                self.inside.remove(group)

    async def go(self, tasks: list[asyncio.Task[None]]) -> None:
        leaving = tasks.pop(0)
        leaving.cancel()
        await asyncio.wait([leaving])

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        assert (self.admission.in_flight, self.admission.waiting) == (0, 0)


@pytest.mark.shows("KERASERVE_MAX_IN_FLIGHT")
async def test_a_group_alone_may_use_all_slots_and_blocks_no_other() -> None:
    visits = Visits(Admission(8, waiting=2, seconds=30))
    visits.come(SLOW, 10)
    await until(lambda: visits.inside.count(SLOW) == 8 and visits.admission.waiting == 2)
    with pytest.raises(Overloaded):
        async with visits.admission.slot(30, SLOW):
            pass
    assert visits.admission.available == 0
    assert visits.admission.available_to(SLOW) == 0
    assert visits.admission.available_to(FAST) == 4 + 1  # its share of places, and of those who wait
    visits.come(FAST, 4)
    await until(lambda: visits.inside.count(FAST) == 4)
    assert visits.inside.count(SLOW) == 8
    visits.come(FAST)
    await until(lambda: visits.admission.waiting == 3)
    with pytest.raises(Overloaded):
        async with visits.admission.slot(30, FAST):
            pass
    visits.come(THIRD, 2)  # another key of the same model
    await until(lambda: visits.inside.count(THIRD) == 2)
    await visits.end()


@pytest.mark.shows("KERASERVE_MAX_IN_FLIGHT")
async def test_freed_slots_go_to_groups_below_their_share() -> None:
    visits = Visits(Admission(4, waiting=4, seconds=30))
    slow = visits.come(SLOW, 6)
    await until(lambda: visits.admission.waiting == 2)
    fast = visits.come(FAST, 3)
    await until(lambda: visits.admission.waiting == 3)
    assert (visits.inside.count(SLOW), visits.inside.count(FAST)) == (4, 2)
    await visits.go(slow)
    await visits.go(slow)
    assert (visits.inside.count(SLOW), visits.inside.count(FAST)) == (2, 2)  # no more than the limit again
    await visits.go(slow)
    await until(lambda: visits.inside.count(SLOW) == 2)  # the first of them who waited
    assert visits.admission.waiting == 2
    await visits.go(fast)
    await until(lambda: visits.inside.count(FAST) == 2)
    await visits.end()


async def test_one_slot_is_not_shared() -> None:
    visits = Visits(Admission(1, waiting=0, seconds=30))
    visits.come(SLOW)
    await until(lambda: visits.inside == [SLOW])
    with pytest.raises(Overloaded):
        async with visits.admission.slot(30, FAST):
            pass
    await visits.end()
