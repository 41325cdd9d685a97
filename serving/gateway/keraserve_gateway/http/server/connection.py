"""One HTTP connection: uvicorn's, with limits on what a client may send and how long it may take.

uvicorn limits neither the bytes of a request's head, nor the time until it is complete, nor the open
connections (its `limit_concurrency` rejects requests, and keeps the connections open), nor the time for which
a response stays unread. Bodies are limited where they are received (`request_body`).
"""

import asyncio
import time
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from keraserve_gateway.http.scope import CLIENT_GONE, IN_FLIGHT
from keraserve_gateway.http.server.early_responses import Head, Rejecter, final_response
from keraserve_gateway.http.server.open_connections import OpenConnections
from keraserve_gateway.telemetry.metrics import Metrics
from keraserve_protocol.http_parser import RequestParser

_MOST_PIPELINED = 16
# Served on connections over the limit, too: an orchestrator would replace a gateway that is only busy.
PROBES = frozenset({b"/livez", b"/readyz", b"/healthz", b"/metrics", b"/v2/health/live", b"/v2/health/ready"})


@dataclass(frozen=True)
class ConnectionLimits:
    """The limits on connections.

    Attributes:
        head_bytes: most bytes in a request's line and headers, or in its trailers.
        head_seconds: longest that a request's head may take, from its first byte or from the connection on.
        rest_seconds: longest that the rest of a body may take after its request's response.
        unread_seconds: longest that a client may read nothing of what is written to it.
        connections: most open connections. For one more, the connection that has been longest without a
            request in flight is closed, so that idle connections block no client. If all have one, only
            probes are served.
    """

    head_bytes: int
    head_seconds: float
    rest_seconds: float
    unread_seconds: float
    connections: int


def connection_class(
    limits: ConnectionLimits, rejection: Rejecter, metrics: Metrics
) -> type[asyncio.Protocol]:
    """Make the protocol class for uvicorn's `http` setting."""
    opened = OpenConnections(limits.connections, limits.unread_seconds, metrics)
    attributes = {"limits": limits, "rejection": staticmethod(rejection), "open": opened}
    return type("LimitedConnection", (_Connection,), attributes)


class _Reading(Enum):
    """The part of a request that a connection is reading."""

    NOTHING = auto()  # between two requests
    HEAD = auto()
    BODY = auto()
    REJECTED_BODY = auto()  # of a rejected request: it is skipped
    NO_MORE = auto()  # the connection is going to end: what follows is ignored


class _HeadTooLarge(Exception):  # noqa: N818 (the parser catches it)
    pass


class _Connection(HttpToolsProtocol):
    limits: ConnectionLimits
    rejection: Rejecter
    open: OpenConnections

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.parser: Any = RequestParser(cast(Any, self))
        self._timer: asyncio.TimerHandle | None = None
        self._running: tuple[RequestResponseCycle, asyncio.Task[None]] | None = None
        self._reading = _Reading.NOTHING
        self.over_limit = False
        self._idle = False  # its last response is complete, and nothing was received since
        self._head_bytes = 0  # of the request that is arriving
        self._unreported_bytes = 0  # since the parser's last callback: what it collects or skips
        self.quiet_since = self.unsent_since = time.monotonic()
        self.unsent = 0

    # Called by the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer(self.limits.head_seconds)
        self.open.opened(self, cast("set[_Connection]", self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.closed()
        self._stop_timer()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        self.parser.close()
        super().connection_lost(exc)
        if self._running is not None:
            cycle, task = self._running
            if not cycle.response_complete and not task.done():
                cycle.disconnected = True
                cycle.scope.setdefault("state", {})[CLIENT_GONE] = True
                task.cancel()  # and with it its call of the model server

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        self._idle = False
        self._unreported_bytes += len(data)
        super().data_received(data)
        if self._ending or self.transport.is_closing():
            return
        reading = self._reading
        if self._unreported_bytes > self.limits.head_bytes:
            self._reject_head()
        elif reading is _Reading.REJECTED_BODY or (reading is _Reading.BODY and self.cycle.response_complete):
            self._start_timer(self.limits.rest_seconds)
        elif reading is _Reading.HEAD or (
            reading is _Reading.NOTHING and not (self._responding() or self._idle)
        ):
            self._start_timer(self.limits.head_seconds)

    # Called by the parser

    def on_message_begin(self) -> None:
        if not self._ending:
            self._reading = _Reading.HEAD
        self._head_bytes, self.quiet_since = 0, time.monotonic()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        if self._head_bytes > self.limits.head_bytes:
            raise _HeadTooLarge
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self.limits.head_bytes:
            raise _HeadTooLarge
        if self._reading is _Reading.HEAD:  # else it is a trailer, which is ignored
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._head_bytes = self._unreported_bytes = 0
        if self._ending:
            return
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._reading = _Reading.NO_MORE
            self.cycle.keep_alive = False  # the newest one: the connection ends with its response
            return
        if self.over_limit and self.url.partition(b"?")[0] not in PROBES:
            self._reject(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "as many connections are open as are allowed (max_connections)",
                1,
            )
            return
        self._idle = False  # its last response may have been sent since the data arrived
        rejection = self._rejection()
        self._reading = _Reading.BODY if rejection is None else _Reading.REJECTED_BODY
        if rejection is None:
            if self.parser.get_http_version() == "1.0":
                self.expect_100_continue = False  # RFC 9110, 10.1.1
            super().on_headers_complete()
            if self.over_limit:
                self.cycle.keep_alive = False
        else:  # no ASGI request is made; the rest of the body is skipped
            self.transport.write(rejection)
            self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        self._unreported_bytes = 0
        if self._reading is _Reading.BODY:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop_timer()
        reading, self._unreported_bytes = self._reading, 0
        if reading is _Reading.NO_MORE:
            return
        self._reading = _Reading.NOTHING
        if reading is _Reading.BODY:
            super().on_message_complete()
        if not (self._idle or self._responding() or self.transport.is_closing()):
            self._become_idle()  # the response was complete before the body

    # Called by uvicorn

    def on_response_complete(self) -> None:
        """As uvicorn 0.54, except for the timer of idle connections."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._become_idle()

    def _become_idle(self) -> None:
        """Close the connection if it stays idle.

        Its timer stays set when the next request comes, and is checked when it fires: a timer for each
        request takes a tenth of a rejection's time.
        """
        self._idle, self.quiet_since = True, time.monotonic()
        if self.timeout_keep_alive_task is None:
            self._start_idle_timer(self.timeout_keep_alive)

    def _start_idle_timer(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if not self._idle:
            return
        left = self.quiet_since + self.timeout_keep_alive - time.monotonic()
        if left > 0:
            self._start_idle_timer(left)
        else:
            super().timeout_keep_alive_handler()

    def _unset_keepalive_if_required(self) -> None:
        """Leave the timer set."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._running = cycle, task

    def _rejection(self) -> bytes | None:
        """Return the response to the request whose head is complete, if it is rejected here.

        These go to the application: HEAD, a request that ends its connection or waits for an earlier
        response, and those of a client that does not read its responses.
        """
        if self.flow.write_paused or self._responding():
            return None
        parser = self.parser
        method: bytes = parser.get_method()
        keep_alive = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        if method == b"HEAD" or not keep_alive:
            return None
        return self.rejection(Head(method, self.url, self.headers, self.server_state.default_headers))

    def send_400_response(self, msg: str) -> None:
        """Reject what the parser rejects, in the form of all errors."""
        del msg
        if self._head_bytes > self.limits.head_bytes:
            self._reject_head()
        else:
            detail = f"this is not HTTP/1.1, or the request is malformed: {self.parser.fault}"
            self._reject(HTTPStatus.BAD_REQUEST, detail)

    @property
    def _ending(self) -> bool:
        return self._reading is _Reading.NO_MORE

    @property
    def in_flight(self) -> bool:
        """Whether one of its requests has a slot, and no response yet."""
        return self._running is not None and IN_FLIGHT in self._running[0].scope.get("state", ())

    def _responding(self) -> bool:
        return self._running is not None and not self.cycle.response_complete

    def _reject_head(self) -> None:
        detail = (
            f"the request's line and headers have more than {self.limits.head_bytes} bytes (max_header_bytes)"
        )
        self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)

    def _start_timer(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._responding():
            self.cycle.keep_alive = False  # the connection ends with its response
        elif self._reading is _Reading.HEAD:
            detail = (
                f"the request's line and headers took more than {self.limits.head_seconds:g} seconds"
                " (header_seconds)"
            )
            self._reject(HTTPStatus.REQUEST_TIMEOUT, detail)
        else:
            self.transport.close()

    def _reject(self, status: HTTPStatus, detail: str, retry_after: int | None = None) -> None:
        """Reject a malformed or incomplete request, and close the connection.

        If earlier responses are due, they are sent first and this one is not: the client would take it for
        one of them.
        """
        reading, self._reading = self._reading, _Reading.NO_MORE
        if reading is _Reading.NO_MORE:
            return
        in_body = reading is _Reading.BODY
        if in_body and self.pipeline:  # the request of this body is not processed
            self.pipeline.popleft()
        elif in_body or not self._responding():
            if not (reading is _Reading.REJECTED_BODY or (in_body and self.cycle.response_started)):
                self.transport.write(final_response(status, detail, retry_after))
            self.transport.close()
            return
        newest = self.pipeline[0][0] if self.pipeline else cast("tuple[Any, Any]", self._running)[0]
        newest.keep_alive = False
