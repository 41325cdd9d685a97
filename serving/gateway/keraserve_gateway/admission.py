"""Who may come in: so many requests at a time, and none once the gateway is stopping."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

from keraserve_gateway.errors import Busy, Draining


class Admission:
    """Counts the requests in flight, HTTP and gRPC together. Of one event loop; not for threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight = 0
        self.draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def enter(self) -> Generator[None]:
        """Hold a place while a request is worked on.

        Raises:
            Draining: the gateway is stopping.
            Busy: `limit` requests are in flight.
        """
        if self.draining:
            raise Draining("the gateway is stopping; another one will answer")
        if self.in_flight >= self.limit:
            raise Busy(f"{self.limit} requests are in flight, as many as are allowed")
        self.in_flight += 1
        self._idle.clear()
        try:
            yield
        finally:
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
