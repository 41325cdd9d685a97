"""The open connections of a server: limits on their number, and on the time for which one is not read."""

import asyncio
import time
from collections.abc import Collection
from typing import Any, Protocol

import structlog

from keraserve_gateway.telemetry.metrics import Metrics

log = structlog.get_logger()

_MOST_OVER_LIMIT = 16  # the most open beyond the limit, to find out whether they are probes
_CHECK_SECONDS = 1.0


class Connection(Protocol):
    """What is known of a connection.

    Attributes:
        transport: its own.
        quiet_since: when it was opened, its latest request began, or its latest response ended, on the
            monotonic clock.
        over_limit: whether it was opened beyond the limit.
        unsent: how many bytes were not yet read by its client, when they were last counted.
        unsent_since: when that number last changed.
    """

    transport: Any
    quiet_since: float
    over_limit: bool
    unsent: int
    unsent_since: float

    @property
    def in_flight(self) -> bool:
        """Whether one of its requests is being processed."""
        ...


class OpenConnections:
    """Limits how many connections are open, and how long one may leave a response unread.

    Args:
        most: how many may be open.
        seconds: how long a client may read nothing of what is written to it.
        metrics: count the open connections, and those that are ended.
    """

    def __init__(self, most: int, seconds: float, metrics: Metrics) -> None:
        self._most = most
        self._open = metrics.connections.labels("http")
        self._idle = metrics.connections_ended.labels("http", "idle")
        self._unread = metrics.connections_ended.labels("http", "unread")
        self._seconds = seconds
        self._checking = False

    def opened(self, new: Connection, connections: Collection[Connection]) -> None:
        """Close the connection that has been quiet for longest, if there are too many.

        Connections with a request in flight are kept: if all have one, the new one is over the limit.

        Args:
            new: is in `connections`.
            connections: all that are open; the server updates it.
        """
        self._open.inc()
        if not self._checking:
            self._checking = True
            asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check_unread, connections)
        if len(connections) <= self._most:
            return
        others = [one for one in connections if one is not new and not _is_ending(one)]
        if len(others) < self._most:
            return
        idle = [one for one in others if not (one.in_flight or one.over_limit)]
        over_limit = [one for one in others if one.over_limit]
        if idle:
            self._idle.inc()
            end(min(idle, key=_quiet_since))
        else:
            new.over_limit = True
        if len(over_limit) >= _MOST_OVER_LIMIT:
            end(min(over_limit, key=_quiet_since))

    def closed(self) -> None:
        """Count one less."""
        self._open.dec()

    def _check_unread(self, connections: Collection[Connection]) -> None:
        now = time.monotonic()
        for one in list(connections):
            if one.transport.get_write_buffer_size() and not _is_reading(one, now, self._seconds):
                log.info("connection ended", reason=f"nothing was read of a response for {self._seconds:g} s")
                self._unread.inc()
                one.transport.abort()
        self._checking = bool(connections)
        if connections:
            asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check_unread, connections)


async def finish(connections: Collection[Connection], seconds: float) -> None:
    """Wait up to some seconds for clients that are reading responses, and abort the others' connections."""
    until = time.monotonic() + seconds
    while (now := time.monotonic()) < until and any(
        _is_reading(one, now, _CHECK_SECONDS) for one in connections
    ):
        await asyncio.sleep(_CHECK_SECONDS / 20)
    for one in list(connections):
        if one.transport.get_write_buffer_size():
            one.transport.abort()


def end(connection: Connection) -> None:
    """Close a connection at once, even if its client has not read everything."""
    if connection.transport.get_write_buffer_size():
        connection.transport.abort()
    else:
        connection.transport.close()


def _is_reading(one: Connection, now: float, seconds: float) -> bool:
    """Return whether a client has something to read, and has read some of it in the last seconds."""
    unsent = one.transport.get_write_buffer_size()
    if unsent != one.unsent:
        one.unsent, one.unsent_since = unsent, now
    return unsent > 0 and now - one.unsent_since < seconds


def _is_ending(connection: Connection) -> bool:
    """Return whether a connection is closing, with nothing left that its client would have to read."""
    transport = connection.transport
    return transport.is_closing() and not transport.get_write_buffer_size()


def _quiet_since(connection: Connection) -> float:
    return connection.quiet_since
