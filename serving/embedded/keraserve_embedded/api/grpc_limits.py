"""Limits on gRPC callers: time to send a message, time to read the response, open connections."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from keraserve_embedded.periodic import Periodic
from keraserve_protocol.grpc_connections import LOOK_SECONDS, GrpcConnections

log = logging.getLogger(__name__)

_CHECK_SECONDS = 0.5
_UNLIMITED = 1 << 30  # calls that wait for their callers: each has a time limit of its own here
_LOG_SECONDS = 10.0  # from one line about connections to the next


class CallLimits:
    """Cancels calls that are overdue, and closes idle connections if too many are open.

    gRPC's Python starts a call on a thread when its headers have arrived; the thread waits for the message.

    Args:
        receive_seconds: how long a call may take to send its message.
        send_seconds: how long one may take to read its response.
        most_connections: how many connections may be open; see `GrpcConnections`.
    """

    def __init__(self, receive_seconds: float, send_seconds: float, most_connections: int) -> None:
        self._connections = GrpcConnections(most_connections, math.inf, _UNLIMITED)
        self._connections_watch = Periodic("connections", LOOK_SECONDS, self._look)
        self._port, self._ended, self._next_log = 0, 0, 0.0
        self._receive_seconds, self._send_seconds = receive_seconds, send_seconds
        self._until: dict[Any, float] = {}  # by context
        self._watch = Periodic("call limits", _CHECK_SECONDS, self._cut_off)

    def start(self, port: int) -> None:
        """Start to check the calls, and the connections of `port` unless it is 0."""
        self._watch.start()
        if port:
            self._port = port
            self._connections_watch.start()

    def stop(self) -> None:
        """Stop both checks."""
        self._watch.stop()
        self._connections_watch.stop()

    def limited(self, handler: Callable[[Any, Any], Any]) -> Callable[[Iterator[Any], Any], Any]:
        """Wrap the handler of a call with one message; the wrapper receives it within its time limit."""

        def receive(messages: Iterator[Any], context: Any) -> Any:
            call = self._connections.began(context.peer())
            if not context.add_callback(call.end):
                call.end()  # it has ended already
            self._until[context] = time.monotonic() + self._receive_seconds
            try:
                message = next(messages, None)
            finally:
                self._until.pop(context, None)
            if message is None:
                return context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message")
            call.in_work = True
            try:
                response = handler(message, context)
            finally:
                call.end_work()
            self._until[context] = time.monotonic() + self._send_seconds
            if not context.add_callback(lambda: self._until.pop(context, None)):
                self._until.pop(context, None)  # it has ended already
            return response

        return receive

    def _look(self) -> None:
        look, now = self._connections.look(self._port), time.monotonic()
        self._ended += look.idle
        if (self._ended or look.rejecting) and now >= self._next_log:
            log.warning(
                "as many gRPC connections are open as are allowed: %d that did nothing were ended%s",
                self._ended, ", and new ones are rejected" if look.rejecting else "",
            )  # fmt: skip
            self._ended, self._next_log = 0, now + _LOG_SECONDS

    def _cut_off(self) -> None:
        now = time.monotonic()
        overdue = [context for context, until in list(self._until.items()) if until < now]
        for context in overdue:
            self._until.pop(context, None)
            context.cancel()
        if overdue:
            log.warning(
                "%d calls were cut off: no message within %g s, or the response was not read within %g s",
                len(overdue), self._receive_seconds, self._send_seconds,
            )  # fmt: skip
