"""Count the open connections of a gRPC server and end some of them, for which grpcio has no functions.

grpcio rejects connections beyond a number (`grpc.max_allowed_incoming_connections`) without a message; it
closes no idle one for a new one, and ends no call whose response is not read. Its connections are open files
of this process. Here they are found by their port and shut down; to grpcio the caller has disconnected.
"""

import os
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from urllib.parse import quote

LOOK_SECONDS = 0.1
_OPEN_FILES = "/dev/fd"
_STUCK_SECONDS = 1.0  # a call that began so long ago and is not in work waits for its caller


def most_accepted(most: int) -> int:
    """Give the number of connections that grpcio accepts, so that it takes new ones until the next look."""
    return most + most // 8 + 16


def connected(port: int) -> dict[str, int]:
    """Find the connections to a port of this process: their descriptors, by grpcio's name of the peer."""
    found: dict[str, int] = {}
    for name in os.listdir(_OPEN_FILES):  # noqa: PTH208 - ten times a second
        with suppress(OSError), _socket(int(name)) as wire:  # no socket, a listening one, or one that ends
            if _port(wire.getsockname()) == port:
                found[_peer(wire)] = int(name)
    return found


def shut_down(descriptor: int, peer: str) -> None:
    """End a connection; do nothing if it has ended, whatever has its descriptor now."""
    with suppress(OSError):
        copy = os.dup(descriptor)  # stays the same file between the comparison and the shutdown
        try:
            with _socket(copy) as wire:
                if _peer(wire) == peer:
                    wire.shutdown(socket.SHUT_RDWR)
        finally:
            os.close(copy)


@contextmanager
def _socket(descriptor: int) -> Generator[socket.socket]:
    """Use a descriptor as a socket, and leave it open; raises OSError where it is none."""
    wire = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, descriptor)
    try:
        yield wire
    finally:
        wire.detach()


def _port(address: Any) -> int:
    return 0 if isinstance(address, str | bytes) else int(address[1])  # a path, of a Unix socket


def _peer(wire: socket.socket) -> str:
    host, port = wire.getpeername()[:2]
    mapped = host.removeprefix("::ffff:")
    if ":" in mapped:
        return "ipv6:" + quote(f"[{host}]:{port}", safe=":")
    return f"ipv4:{mapped}:{port}"


class Call:
    """One call on a connection; the server reports here how far it is.

    Attributes:
        began: when, by the monotonic clock.
        in_work: whether its message has arrived, and there is no response yet.
    """

    __slots__ = ("_all", "_connection", "began", "in_work")

    def __init__(self, connections: "GrpcConnections", connection: "_Connection", now: float) -> None:
        self._all, self._connection, self.began = connections, connection, now
        self.in_work = False

    def end_work(self) -> None:
        """Report that there is a response, which the caller has to read."""
        self.in_work, self._connection.quiet_since = False, time.monotonic()

    def end(self) -> None:
        """Report that the call is over: its response is read, or nobody waits for it."""
        self._all.remove(self, self._connection)


class _Connection:
    __slots__ = ("calls", "quiet_since", "used")

    def __init__(self, now: float) -> None:
        self.calls: set[Call] = set()
        self.quiet_since, self.used = now, False

    @property
    def in_work(self) -> bool:
        return any(call.in_work for call in self.calls)

    def waiting(self, since: float) -> int:
        """Count the calls that began before then and wait for their caller to send or to read."""
        return sum(not call.in_work and call.began < since for call in self.calls)

    @property
    def order(self) -> tuple[bool, bool, float]:
        """Sort first what is ended first: no open call; no call yet; the longest time without one."""
        return bool(self.calls), self.used, self.quiet_since


class Look(NamedTuple):
    """What was found.

    Attributes:
        open: how many connections are open.
        idle: how many of them were ended for new ones.
        unread: how many were ended whose callers left responses unread: one for too long, or too many.
        rejecting: whether as many are open as grpcio accepts, so that it rejects new ones.
    """

    open: int
    idle: int
    unread: int
    rejecting: bool


class GrpcConnections:
    """Limits how many connections a gRPC server has, and how long one may have a call. From any thread.

    Beyond the limit, connections end that have had no call yet, then those without one for longest, then
    those whose callers are sending a message or reading a response; never one with a call in work.

    Args:
        most: how many may be open from one look to the next; grpcio never accepts more than `most_accepted`.
        call_seconds: how long a call may take in all, except while it is in work.
        most_waiting: how many calls may wait for their callers; beyond it, the connections end that have most
            of them.
    """

    def __init__(self, most: int, call_seconds: float, most_waiting: int) -> None:
        self._most, self._call_seconds, self._most_waiting = most, call_seconds, most_waiting
        self._known: dict[str, _Connection] = {}  # by peer
        self._lock = threading.Lock()

    def began(self, peer: str) -> Call:
        """Count a call, by grpcio's name of its peer, until its `end` is called."""
        now = time.monotonic()
        with self._lock:
            connection = self._known.get(peer) or self._known.setdefault(peer, _Connection(now))
            connection.used, connection.quiet_since = True, now
            call = Call(self, connection, now)
            connection.calls.add(call)
        return call

    def remove(self, call: Call, connection: _Connection) -> None:
        """Count a call no longer."""
        with self._lock:
            connection.calls.discard(call)
            connection.quiet_since = time.monotonic()

    def look(self, port: int) -> Look:
        """Find the connections to a port, and end those beyond the limits."""
        now, found = time.monotonic(), connected(port)
        with self._lock:
            self._forget(found)
            here = {peer: self._known.setdefault(peer, _Connection(now)) for peer in found}
            unread = _unread(here, now, self._call_seconds, self._most_waiting)
            idle = [peer for peer, one in here.items() if not (peer in unread or one.in_work)]
            idle.sort(key=lambda peer: here[peer].order)
        surplus = max(0, len(found) - len(unread) - self._most)
        crowded = idle[:surplus]
        for peer in (*unread, *crowded):
            shut_down(found[peer], peer)
        left = len(found) - len(unread) - len(crowded)
        return Look(left, len(crowded), len(unread), left >= most_accepted(self._most))

    def _forget(self, found: dict[str, int]) -> None:
        for peer in [peer for peer, one in self._known.items() if peer not in found and not one.calls]:
            del self._known[peer]


def _unread(here: dict[str, _Connection], now: float, seconds: float, most: int) -> set[str]:
    """Find the connections with a call that takes too long, and those with most calls if too many wait."""
    unread = {peer for peer, one in here.items() if one.waiting(now - seconds)}
    others = here.keys() - unread
    waiting = {peer: count for peer in others if (count := here[peer].waiting(now - _STUCK_SECONDS))}
    total = sum(waiting.values())
    for peer in sorted(waiting, key=waiting.__getitem__, reverse=True):
        if total <= most:
            break
        unread.add(peer)
        total -= waiting[peer]
    return unread
