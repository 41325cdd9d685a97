"""Hang detection: whether a model server that is connected also responds.

A server that hangs keeps its connection, and each call would last until its deadline. A deadline that passes,
or a caller that disconnects, is no proof: the model may be slow, or the deadline short. So when a call ended
like that and no other response came meanwhile, the gateway sends a probe that needs no model. Only if the
probe gets no response either do calls fail at once, until a later probe gets one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

PROBE_SECONDS = 5.0
"""For a response to a probe, which a working server sends within milliseconds."""
_PAUSE = 0.5

Probe = Callable[[float], Awaitable[bool]]
"""Calls the server; tells whether any response came within so many seconds."""


class HangDetector:
    """Notes how calls end, and probes the server when responses are missing. For one event loop.

    Attributes:
        detected: whether the server hangs.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._responded_at = time.monotonic()
        self._probing: asyncio.Task[None] | None = None
        self._closed = False
        self.detected = False

    def responded(self) -> None:
        """Note that the server sent a response, with any status."""
        self._responded_at = time.monotonic()
        self.detected = False

    def no_response(self, since: float) -> None:
        """Note that a call which began at `since`, by the monotonic clock, ended without a response."""
        if self._responded_at < since and self._probing is None and not self._closed:
            self._probing = asyncio.create_task(self._probe_until_response())

    def close(self) -> None:
        """Stop probing, and begin no new probe for calls that end later."""
        self._closed = True
        if self._probing is not None:
            self._probing.cancel()

    async def _probe_until_response(self) -> None:
        try:
            while True:
                began = time.monotonic()
                if await self._probe(PROBE_SECONDS):
                    self.responded()
                if self._responded_at >= began:
                    return
                self.detected = True
                await asyncio.sleep(_PAUSE)
        finally:
            self._probing = None
