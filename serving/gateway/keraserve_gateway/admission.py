"""Who may come in: so many requests at a time, a few that wait, and none once the gateway is stopping."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from keraserve_gateway.errors import Busy, Draining


class Admission:
    """Counts the requests in flight, HTTP and gRPC together. Of one event loop; not for threads.

    Args:
        limit: how many may be worked on at a time.
        waiting: how many more may wait for a place, first come first served.
        seconds: how long they may wait.
    """

    def __init__(self, limit: int, waiting: int = 0, seconds: float = 1.0) -> None:
        self.limit = limit
        self.in_flight = 0
        self.waiting = 0
        self.draining = False
        self._most_waiting = waiting
        self._seconds = seconds
        self._places = asyncio.Semaphore(limit)
        self._idle = asyncio.Event()
        self._idle.set()

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
        self._idle.clear()
        try:
            if self._places.locked():
                await self._queue(seconds)
            else:
                await self._places.acquire()  # at once
            self.in_flight += 1
            try:
                yield
            finally:
                self.in_flight -= 1
                self._places.release()
        finally:
            if not self.in_flight and not self.waiting:
                self._idle.set()

    async def _queue(self, seconds: float) -> None:
        """Wait for a place that becomes free."""
        if self.waiting >= self._most_waiting:
            raise Busy(f"{self.limit} requests are in flight, as many as are allowed")
        self.waiting += 1
        try:
            async with asyncio.timeout(min(self._seconds, seconds)):
                await self._places.acquire()
        except TimeoutError as error:
            raise Busy(f"no place among {self.limit} requests in flight became free in time") from error
        finally:
            self.waiting -= 1

    async def drain(self, seconds: float) -> bool:
        """Let nobody in any more, wait up to `seconds` for those inside; tell whether all have left."""
        self.draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True
