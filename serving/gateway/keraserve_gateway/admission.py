"""Admission: so many requests are processed at a time, a few wait for a slot, the others are rejected."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

from keraserve_gateway.errors import Draining, Overloaded
from keraserve_gateway.time_limit import TimeLimit

Group = tuple[str, str]
"""Requests that share their slots: those for one model, with one API key."""
NO_GROUP: Group = ("", "")


@dataclass(eq=False)
class _Waiting:
    """A request without a slot; its future ends when it has one."""

    group: Group
    slot: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Admission:
    """Counts the requests in flight, HTTP and gRPC together. For one event loop, not for threads.

    A group alone may use all slots. If several groups have requests, each has a right to its share: the limit
    divided by the number of groups. A group below its share gets a slot even if none is free, because the
    others may keep theirs for long: a slow model delays no other one. Then more than `limit` requests are
    processed until enough have finished.

    The longest waiter of a group below its share gets the freed slot, else the longest waiter of all.
    (asyncio's semaphore admits nobody else before the last waiter that was woken has run, however many slots
    are free: a batch's requests finish in one turn of the event loop.)

    Args:
        limit: how many requests may be processed at a time.
        waiting: how many more may wait for a slot, first come first served.
        seconds: how long they may wait.
    """

    def __init__(self, limit: int, waiting: int = 0, seconds: float = 1.0) -> None:
        self.limit = limit
        self.in_flight = 0
        self.draining = False
        self._max_waiting = waiting
        self._seconds = seconds
        self._held: dict[Group, int] = {}
        self._queue: deque[_Waiting] = deque()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """How many requests wait for a slot."""
        return len(self._queue)

    @property
    def available(self) -> int:
        """How many more requests of any group would not be rejected at once."""
        return self.limit + self._max_waiting - self.in_flight - self.waiting

    def available_to(self, group: Group) -> int:
        """How many more of a group would not be rejected at once, by its share, if `available` is 0."""
        held = self._held.get(group, 0)
        if held and len(self._held) == 1:
            return 0
        groups, waiting = self._groups(group), sum(one.group == group for one in self._queue)
        return self.limit // groups - held + self._max_waiting // groups - waiting

    def overloaded(self) -> Overloaded:
        """Make the error of a request that gets no slot."""
        return Overloaded(f"{self.limit} requests are in flight, as many as are allowed (max_in_flight)")

    @asynccontextmanager
    async def slot(self, seconds: float, group: Group = NO_GROUP) -> AsyncGenerator[Callable[[], None]]:
        """Hold a slot until the end of the context, or until the function that it gives is called.

        Args:
            seconds: what is left of the request's time.
            group: the requests with which it shares its slots.

        Raises:
            Draining: the gateway is stopping.
            Overloaded: all slots are taken, and the queue is full or moved too slowly.
        """
        self.check_open()
        if self.in_flight < self.limit or self._below_share(group):  # below the limit nobody waits
            self._take(group)
        else:
            await self._wait(seconds, group)
        with ExitStack() as held:
            held.callback(self._release, group)
            yield held.close

    def check_open(self) -> None:
        """Check that requests are still admitted.

        Raises:
            Draining: the gateway is stopping.
        """
        if self.draining:
            raise Draining("the gateway is stopping")

    def _groups(self, group: Group) -> int:
        """Count the groups that have requests, `group` included."""
        return len({*self._held, *(one.group for one in self._queue), group})

    def _below_share(self, group: Group) -> bool:
        return self._held.get(group, 0) < self.limit // self._groups(group)

    async def _wait(self, seconds: float, group: Group) -> None:
        if self.available <= 0 and self.available_to(group) <= 0:
            raise self.overloaded()
        waiting = _Waiting(group)
        self._queue.append(waiting)
        try:
            with TimeLimit(min(self._seconds, seconds)):
                await waiting.slot
        except (TimeoutError, asyncio.CancelledError) as error:
            if not waiting.slot.cancelled():  # it got a slot at the last moment
                self._release(group)
            elif waiting in self._queue:
                self._queue.remove(waiting)
            if isinstance(error, TimeoutError):
                detail = f"no slot among {self.limit} requests in flight became free in time"
                raise Overloaded(detail) from error
            raise

    def _take(self, group: Group) -> None:
        self.in_flight += 1
        self._held[group] = self._held.get(group, 0) + 1
        self._idle.clear()

    def _release(self, group: Group) -> None:
        self.in_flight -= 1
        self._held[group] -= 1
        if not self._held[group]:
            del self._held[group]
        while self._queue and (following := self._next()) is not None:
            self._queue.remove(following)
            if not following.slot.done():
                self._take(following.group)
                following.slot.set_result(None)
        if not self.in_flight:
            self._idle.set()

    def _next(self) -> _Waiting | None:
        """Choose the waiter that gets a slot, if any may have one."""
        for one in self._queue:
            if self._below_share(one.group):
                return one
        return self._queue[0] if self.in_flight < self.limit else None

    async def drain(self, seconds: float) -> bool:
        """Reject new requests, wait up to `seconds` for those in flight; return whether all finished."""
        self.draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True
