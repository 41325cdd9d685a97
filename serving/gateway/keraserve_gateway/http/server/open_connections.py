"""The connections of one server: whose place a new one takes, and who does not read a response."""

import asyncio
import time
from collections.abc import Collection
from typing import Any, Protocol

import structlog

from keraserve_gateway.telemetry.metrics import Metrics

log = structlog.get_logger()

_MOST_BEYOND = 16  # the most that are open beyond the bound, to be heard whether they are probes
_LOOK_SECONDS = 1.0


class Connection(Protocol):
    """What is known of a connection.

    Attributes:
        transport: its own.
        quiet_since: when it was opened, its latest request began, or its latest answer ended, by the
            monotonic clock.
        beyond: whether it is open beyond the bound.
        in_work: whether a request of its is being worked on.
        unsent: how many bytes waited for it to read, when they were last counted.
        unsent_since: since when as many.
    """

    transport: Any
    quiet_since: float
    beyond: bool
    unsent: int
    unsent_since: float

    @property
    def in_work(self) -> bool:
        """Whether a request of its is being worked on."""
        ...


class OpenConnections:
    """Bounds how many are open, and how long one may leave a response unread.

    Args:
        most: how many may be open.
        seconds: how long one may take nothing of what is written to it.
        metrics: count those that are open, and those that are ended.
    """

    def __init__(self, most: int, seconds: float, metrics: Metrics) -> None:
        self._most = most
        self._open = metrics.connections.labels("http")
        self._idle = metrics.connections_ended.labels("http", "idle")
        self._unread = metrics.connections_ended.labels("http", "unread")
        self._seconds = seconds
        self._watching = False

    def opened(self, new: Connection, everyone: Collection[Connection]) -> None:
        """Make room for a new one: that of the one which has been quiet for longest.

        Who has a request in work is not disturbed: then the new one is beyond the bound.

        Args:
            new: is in `everyone`.
            everyone: a set that is kept up to date.
        """
        self._open.inc()
        if not self._watching:
            self._watching = True
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look, everyone)
        if len(everyone) <= self._most:
            return
        others = [one for one in everyone if one is not new and not _ends(one)]
        if len(others) < self._most:
            return
        spare = [one for one in others if not (one.in_work or one.beyond)]
        beyond = [one for one in others if one.beyond]
        if spare:
            self._idle.inc()
            end(min(spare, key=_quiet_since))
        else:
            new.beyond = True
        if len(beyond) >= _MOST_BEYOND:
            end(min(beyond, key=_quiet_since))

    def closed(self) -> None:
        """Count one less."""
        self._open.dec()

    def _look(self, everyone: Collection[Connection]) -> None:
        now = time.monotonic()
        for one in list(everyone):
            if one.transport.get_write_buffer_size() and not _takes(one, now, self._seconds):
                log.info("connection ended", reason=f"nothing was read of a response for {self._seconds:g} s")
                self._unread.inc()
                one.transport.abort()
        self._watching = bool(everyone)
        if everyone:
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look, everyone)


async def finish(everyone: Collection[Connection], seconds: float) -> None:
    """Wait for those who read what is written to them, up to some seconds, and end the others."""
    until = time.monotonic() + seconds
    while (now := time.monotonic()) < until and any(_takes(one, now, _LOOK_SECONDS) for one in everyone):
        await asyncio.sleep(_LOOK_SECONDS / 20)
    for one in list(everyone):
        if one.transport.get_write_buffer_size():
            one.transport.abort()


def end(connection: Connection) -> None:
    """Close a connection, at once even if something is written to it."""
    if connection.transport.get_write_buffer_size():
        connection.transport.abort()
    else:
        connection.transport.close()


def _takes(one: Connection, now: float, seconds: float) -> bool:
    """Tell whether one has read something in the last seconds, of something."""
    unsent = one.transport.get_write_buffer_size()
    if unsent != one.unsent:
        one.unsent, one.unsent_since = unsent, now
    return unsent > 0 and now - one.unsent_since < seconds


def _ends(connection: Connection) -> bool:
    """Tell whether it is about to go: closed, with nothing left that its client would have to read."""
    transport = connection.transport
    return transport.is_closing() and not transport.get_write_buffer_size()


def _quiet_since(connection: Connection) -> float:
    return connection.quiet_since
