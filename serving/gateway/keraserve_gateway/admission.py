"""Who may come in: so many requests at a time, a few that wait, and none once the gateway is stopping."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from keraserve_gateway.errors import Busy, Draining
from keraserve_gateway.time_limit import TimeLimit


class Admission:
    """Counts the requests in flight, HTTP and gRPC together. Of one event loop; not for threads.

    Who leaves gives its place to who has waited longest. (asyncio's semaphore lets nobody else in before the
    last waiter that was woken has run, however many places are free: a batch's requests leave in one turn.)

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
        self._queue: deque[asyncio.Future[None]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._queue)

    @property
    def room(self) -> int:
        """How many more would not be refused at once."""
        return self.limit + self._most_waiting - self.in_flight - self.waiting

    def busy(self) -> Busy:
        """Say that there is no room."""
        return Busy(f"{self.limit} requests are in flight, as many as are allowed")

    @asynccontextmanager
    async def enter(self, seconds: float) -> AsyncGenerator[None]:
        """Hold a place while a request is worked on.

        Args:
            seconds: what is left of the request's time.

        Raises:
            Draining: the gateway is stopping.
            Busy: all places are taken, and the queue is full or moved too slowly.
        """
        if self.draining:
            raise Draining("the gateway is stopping; another one will answer")
        if self.in_flight < self.limit:  # then nobody waits
            self.in_flight += 1
            self._idle.clear()
        else:
            await self._wait(seconds)
        try:
            yield
        finally:
            self._leave()

    async def _wait(self, seconds: float) -> None:
        if self.room <= 0:
            raise self.busy()
        place = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        try:
            with TimeLimit(min(self._seconds, seconds)):
                await place
        except (TimeoutError, asyncio.CancelledError) as error:
            if place.cancelled():
                if place in self._queue:
                    self._queue.remove(place)
            else:  # it was given at the last moment
                self._leave()
            if isinstance(error, TimeoutError):
                busy = f"no place among {self.limit} requests in flight became free in time"
                raise Busy(busy) from error
            raise

    def _leave(self) -> None:
        while self._queue:
            place = self._queue.popleft()
            if not place.done():
                place.set_result(None)
                return
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()

    async def drain(self, seconds: float) -> bool:
        """Let nobody in any more, wait up to `seconds` for those inside; tell whether all have left."""
        self.draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True
