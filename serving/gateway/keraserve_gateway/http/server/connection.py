"""One HTTP connection: uvicorn's, with bounds on what a client may send and how long it may take.

uvicorn bounds neither the bytes of a request's head nor the time until it is whole, nor how many connections
are open (its `limit_concurrency` rejects their requests, and keeps them), nor how long a response may be left
unread. Bodies are bounded where they are read (`request_body`).
"""

import asyncio
import time
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from keraserve_gateway.http.scope import CLIENT_GONE, IN_WORK
from keraserve_gateway.http.server.coalesced_write import CoalescedWrite
from keraserve_gateway.http.server.early_responses import Head, Rejecter, final_response
from keraserve_gateway.http.server.open_connections import OpenConnections
from keraserve_gateway.telemetry.metrics import Metrics
from keraserve_protocol.http_parser import RequestParser

_MOST_PIPELINED = 16
# They are let in though all connections are taken: an orchestrator would replace a gateway that is only busy.
PROBES = frozenset({b"/livez", b"/readyz", b"/healthz", b"/metrics", b"/v2/health/live", b"/v2/health/ready"})


@dataclass(frozen=True)
class ConnectionLimits:
    """What a connection may take.

    Attributes:
        head_bytes: most bytes in a request's line and headers, or in its trailers.
        head_seconds: longest that a request's head may take, from its first byte or from the connection on.
        rest_seconds: longest that the rest of a body may take whose request is answered already.
        unread_seconds: how long a client may take nothing of what is written to it.
        connections: most that are open. One more takes the place of the one that has gone longest without a
            request in work: so who holds connections and does nothing with them keeps nobody out. Where all
            have one, probes are let in all the same.
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
    made = {"limits": limits, "rejection": staticmethod(rejection), "open": opened}
    return type("BoundedConnection", (_Connection,), made)


class _Reading(Enum):
    """What of a request a connection reads."""

    NOTHING = auto()  # between two requests
    HEAD = auto()
    BODY = auto()
    REJECTED_BODY = auto()  # of a request that is rejected: it is skipped
    NO_MORE = auto()  # what was read ends the connection: what follows is not looked at


class _HeadTooLarge(Exception):  # noqa: N818 (raised to the parser, seen by nobody else)
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
        self.beyond = False
        self._idle = False  # its last request is answered, and nothing has come since
        self._head_bytes = 0  # of the request that is arriving
        self._unreported_bytes = 0  # since the parser reported something: what it collects, or skips
        self.quiet_since = self.unsent_since = time.monotonic()
        self.unsent = 0

    # The transport's calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer(self.limits.head_seconds)
        self.open.opened(self, cast("set[_Connection]", self.connections))  # a server's are all of one class

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
                task.cancel()  # and with it the call of the model server

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

    # The parser's calls

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
        if self._reading is _Reading.HEAD:  # else it is a trailer, which nobody reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._head_bytes = self._unreported_bytes = 0
        if self._ending:
            return
        if len(self.pipeline) >= _MOST_PIPELINED:
            self._reading = _Reading.NO_MORE
            self.cycle.keep_alive = False  # the newest: the connection ends with its response
            return
        if self.beyond and self.url.partition(b"?")[0] not in PROBES:
            self._reject(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "as many connections are open as are allowed (max_connections)",
                1,
            )
            return
        self._idle = False  # an earlier request may have come together with this one
        rejection = self._rejection()
        self._reading = _Reading.BODY if rejection is None else _Reading.REJECTED_BODY
        if rejection is None:
            super().on_headers_complete()
            if self.beyond:
                self.cycle.keep_alive = False
        else:  # without what uvicorn makes of a request; what is left of its body is skipped
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
            self._be_idle()  # the response came before the body

    # uvicorn's own

    def on_response_complete(self) -> None:
        """As that of uvicorn 0.54, but for the timer of idle connections."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._be_idle()

    def _be_idle(self) -> None:
        """Have the connection closed if it stays so.

        Its timer is not stopped when the next request comes, only looked after when it rings: to make and end
        one for each is a tenth of what a rejection takes.
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
        """Leave the timer as it is."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["method"] != "HEAD":  # whose head is all that is written
            cycle.transport = cast(Any, CoalescedWrite(cycle.transport))
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self._running = cycle, task

    def _rejection(self) -> bytes | None:
        """The response, where the application shall not have the request whose head is here.

        The application takes HEAD, a request that ends its connection or waits for an earlier response
        on it, and one of a caller that does not read its responses: it waits there.
        """
        if self.flow.write_paused or self._responding():
            return None
        parser = self.parser
        method: bytes = parser.get_method()
        lasting = parser.should_keep_alive() and parser.get_http_version() != "1.0"
        if method == b"HEAD" or not lasting:
            return None
        return self.rejection(Head(method, self.url, self.headers, self.server_state.default_headers))

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser does not take, in our form."""
        del msg  # uvicorn's
        if self._head_bytes > self.limits.head_bytes:
            self._reject_head()
        else:
            detail = f"this is not HTTP/1.1, or the request is malformed: {self.parser.fault}"
            self._reject(HTTPStatus.BAD_REQUEST, detail)

    @property
    def _ending(self) -> bool:
        return self._reading is _Reading.NO_MORE

    @property
    def in_work(self) -> bool:
        """Whether a request is worked on whose body is here: it has a place, and no response yet."""
        return self._running is not None and IN_WORK in self._running[0].scope.get("state", ())

    def _responding(self) -> bool:
        return self._running is not None and not self.cycle.response_complete

    def _reject_head(self) -> None:
        detail = (
            f"the request's line and headers have more than {self.limits.head_bytes} bytes (max_header_bytes)"
        )
        self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)

    def _start_timer(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._time_is_over)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_over(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._responding():
            self.cycle.keep_alive = False  # the response first, then the end
        elif self._reading is _Reading.HEAD:
            detail = (
                f"the request's line and headers took more than {self.limits.head_seconds:g} seconds"
                " (header_seconds)"
            )
            self._reject(HTTPStatus.REQUEST_TIMEOUT, detail)
        else:
            self.transport.close()

    def _reject(self, status: HTTPStatus, detail: str, retry_after: int | None = None) -> None:
        """Answer what is no request, or no whole one, and close.

        Answers that are due come first, and alone: this one would be taken for one of them.
        """
        reading, self._reading = self._reading, _Reading.NO_MORE
        if reading is _Reading.NO_MORE:
            return
        in_body = reading is _Reading.BODY
        if in_body and self.pipeline:  # the one whose body this is will not be asked
            self.pipeline.popleft()
        elif in_body or not self._responding():
            if not (reading is _Reading.REJECTED_BODY or (in_body and self.cycle.response_started)):
                self.transport.write(final_response(status, detail, retry_after))
            self.transport.close()
            return
        newest = self.pipeline[0][0] if self.pipeline else cast("tuple[Any, Any]", self._running)[0]
        newest.keep_alive = False
