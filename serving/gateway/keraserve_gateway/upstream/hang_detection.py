"""Hang detection: whether a model server that is connected also responds.

One that hangs keeps its connection, and each caller would learn it at his deadline. That a deadline passes,
or a caller hangs up, says little: the model may be slow, or the caller in a hurry. So when a call ended like
that and nothing else was answered meanwhile, the gateway asks something itself that no model is needed for.
Only if that stays unanswered too, calls fail at once; the gateway goes on asking, and the first response ends
it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

PROBE_SECONDS = 5.0
"""How long a response may take that a server which works gives in milliseconds."""
_PAUSE = 0.5

Probe = Callable[[float], Awaitable[bool]]
"""Asks the server; tells whether it said anything at all within so many seconds."""


class HangDetector:
    """Notes how calls end, and probes the server when nothing was answered. Of one event loop.

    Attributes:
        detected: whether the server hangs.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._heard_at = time.monotonic()
        self._asking: asyncio.Task[None] | None = None
        self._closed = False
        self.detected = False

    def responded(self) -> None:
        """Note that the server said something, be it a rejection."""
        self._heard_at = time.monotonic()
        self.detected = False

    def unanswered(self, since: float) -> None:
        """Note that a call which began then, by the monotonic clock, was given up without a response."""
        if self._heard_at < since and self._asking is None and not self._closed:
            self._asking = asyncio.create_task(self._ask())

    def close(self) -> None:
        """Ask no more, also where calls are given up at the very end."""
        self._closed = True
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> None:
        try:
            while True:
                began = time.monotonic()
                if await self._probe(PROBE_SECONDS):
                    self.responded()
                if self._heard_at >= began:
                    return
                self.detected = True
                await asyncio.sleep(_PAUSE)
        finally:
            self._asking = None
