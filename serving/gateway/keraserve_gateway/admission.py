"""Who may come in: so many requests at a time, a few that wait, and none once the gateway is stopping."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from keraserve_gateway.errors import Draining, Overloaded
from keraserve_gateway.time_limit import TimeLimit

Group = tuple[str, str]
"""Requests that share their places: those for one model, with one API key."""
NO_GROUP: Group = ("", "")


@dataclass(eq=False)
class _Waiting:
    """A request without a place; its future ends when it has one."""

    group: Group
    place: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Place:
    """What a request holds while it is worked on."""

    def __init__(self, leave: Callable[[Group], None], group: Group) -> None:
        self._leave: Callable[[Group], None] | None = leave
        self._group = group

    def leave(self) -> None:
        """Give it to another one; again, nothing happens."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(self._group)


class Admission:
    """Counts the requests in flight, HTTP and gRPC together. Of one event loop; not for threads.

    A group alone may have all places. Where several ask, each has a right to its share: the limit divided by
    the number of groups that have requests here. Who is below its share comes in although all places are
    taken, as those who have more may keep them for long. Then more than `limit` are at work, until enough
    have left. So a slow model keeps nobody from the others.

    Who leaves gives its place to who has waited longest of those below their share, else of all. (asyncio's
    semaphore lets nobody else in before the last waiter that was woken has run, however many places are free:
    a batch's requests leave in one turn.)

    Args:
        limit: how many may be worked on at a time.
        waiting: how many more may wait for a place, first come first served.
        seconds: how long they may wait.
    """

    def __init__(self, limit: int, waiting: int = 0, seconds: float = 1.0) -> None:
        self.limit = limit
        self.in_flight = 0
        self.draining = False
        self._most_waiting = waiting
        self._seconds = seconds
        self._held: dict[Group, int] = {}
        self._queue: deque[_Waiting] = deque()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._queue)

    @property
    def room(self) -> int:
        """How many more of any group would not be rejected at once."""
        return self.limit + self._most_waiting - self.in_flight - self.waiting

    def own_room(self, group: Group) -> int:
        """How many more of a group would not be rejected at once although there is no room for any group."""
        held = self._held.get(group, 0)
        if held and len(self._held) == 1:
            return 0
        groups, waiting = self._groups(group), sum(one.group == group for one in self._queue)
        return self.limit // groups - held + self._most_waiting // groups - waiting

    def busy(self) -> Overloaded:
        """Say that there is no room."""
        return Overloaded(f"{self.limit} requests are in flight, as many as are allowed (max_in_flight)")

    @asynccontextmanager
    async def enter(self, seconds: float, group: Group = NO_GROUP) -> AsyncGenerator[Place]:
        """Hold a place while a request is worked on, at most until the end of the context.

        Args:
            seconds: what is left of the request's time.
            group: with which requests it shares its places.

        Raises:
            Draining: the gateway is stopping.
            Overloaded: all places are taken, and the queue is full or moved too slowly.
        """
        self.check_open()
        if self.in_flight < self.limit or self._below_share(group):  # below the limit nobody waits
            self._take(group)
        else:
            await self._wait(seconds, group)
        place = Place(self._leave, group)
        try:
            yield place
        finally:
            place.leave()

    def check_open(self) -> None:
        """Let pass while requests are taken.

        Raises:
            Draining: the gateway is stopping.
        """
        if self.draining:
            raise Draining("the gateway is stopping; another one will answer")

    def _groups(self, group: Group) -> int:
        """Count the groups that are here, `group` included."""
        return len({*self._held, *(one.group for one in self._queue), group})

    def _below_share(self, group: Group) -> bool:
        return self._held.get(group, 0) < self.limit // self._groups(group)

    async def _wait(self, seconds: float, group: Group) -> None:
        if self.room <= 0 and self.own_room(group) <= 0:
            raise self.busy()
        mine = _Waiting(group)
        self._queue.append(mine)
        try:
            with TimeLimit(min(self._seconds, seconds)):
                await mine.place
        except (TimeoutError, asyncio.CancelledError) as error:
            if not mine.place.cancelled():  # it was given at the last moment
                self._leave(group)
            elif mine in self._queue:
                self._queue.remove(mine)
            if isinstance(error, TimeoutError):
                busy = f"no place among {self.limit} requests in flight became free in time"
                raise Overloaded(busy) from error
            raise

    def _take(self, group: Group) -> None:
        self.in_flight += 1
        self._held[group] = self._held.get(group, 0) + 1
        self._idle.clear()

    def _leave(self, group: Group) -> None:
        self.in_flight -= 1
        left = self._held[group] - 1
        if left:
            self._held[group] = left
        else:
            del self._held[group]
        while self._queue and (following := self._next()) is not None:
            self._queue.remove(following)
            if not following.place.done():
                self._take(following.group)
                following.place.set_result(None)
        if not self.in_flight:
            self._idle.set()

    def _next(self) -> _Waiting | None:
        """Choose who comes in, if anybody may."""
        for one in self._queue:
            if self._below_share(one.group):
                return one
        return self._queue[0] if self.in_flight < self.limit else None

    async def drain(self, seconds: float) -> bool:
        """Let nobody in any more, wait up to `seconds` for those inside; tell whether all have left."""
        self.draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True
