"""A connection of the REST port: uvicorn's, with limits on time, headers and the number of connections.

Its parser rejects ambiguous requests. `--rest_api_timeout_in_ms` limits the time of a body.
"""

import asyncio
import time
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keraserve_protocol import rest
from keraserve_protocol.http_parser import RequestParser

HEAD_SECONDS = 10.0  # from the connection, or a request's first byte, to the end of its headers
READ_SECONDS = 30.0  # until a client reads again
HEAD_BYTES = 32 << 10  # of a request's line and headers, or of its trailers
MAX_CONNECTIONS = 400  # one more closes the one that has been idle longest


class _HeadTooLarge(Exception):  # noqa: N818 (only the parser sees it)
    pass


class RestConnection(HttpToolsProtocol):
    """The class for uvicorn's `http` setting."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.parser: Any = RequestParser(cast(Any, self))
        self._in_head = False
        self._head_bytes = 0
        self._unreported_bytes = 0  # received since the parser's last event: it buffers or skips them
        self.idle_since = time.monotonic()
        self._head_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected; the time for the headers of its first request starts."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._abort)
        connections = cast("set[RestConnection]", self.connections)  # a server's are all of one class
        if len(connections) > MAX_CONNECTIONS:
            idle = [one for one in connections if one is not self and not one.in_work]
            min(idle, key=lambda one: one.idle_since, default=self).transport.abort()

    @property
    def in_work(self) -> bool:
        """Whether its request is complete, and its response is not held up by a client that does not read."""
        cycle: Any = self.cycle
        return bool(cycle) and not (cycle.response_complete or cycle.more_body or self.flow.write_paused)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes."""
        self._unreported_bytes += len(data)
        super().data_received(data)
        if self._unreported_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._reject_head()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes, self.idle_since = True, 0, time.monotonic()
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._abort)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request's line arrived."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header arrived, or a trailer, which is ignored."""
        self._count(len(name) + len(value) + 4)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are complete."""
        self._in_head = False
        self._head_bytes = self._unreported_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False  # RFC 9110, 10.1.1
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body arrived."""
        self._unreported_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._unreported_bytes, self.idle_since = 0, time.monotonic()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The client does not read the response."""
        super().pause_writing()
        self._read_timer = self._read_timer or self.loop.call_later(READ_SECONDS, self._abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also where the caller has not read its last response."""
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self._abort()

    def _abort(self) -> None:
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        for timer in (self._head_timer, self._read_timer):
            if timer is not None:
                timer.cancel()
        self.parser.close()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Reject bytes that the parser can't parse, in TensorFlow Serving's form, and close."""
        del msg  # uvicorn's
        if self._head_bytes > HEAD_BYTES:
            self._reject_head()
        else:
            says = f"this is not HTTP/1.1, or the request is malformed: {self.parser.fault}"
            self._reject(HTTPStatus.BAD_REQUEST, says)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            raise _HeadTooLarge

    def _reject_head(self) -> None:
        says = f"the request's line and headers have more than {HEAD_BYTES} bytes"
        self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, says)

    def _reject(self, status: HTTPStatus, says: str) -> None:
        body = rest.error_response(says)
        head = f"HTTP/1.1 {int(status)} {status.phrase}\r\ncontent-type: application/json\r\n"
        length = f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(f"{head}{length}".encode() + body)
        self.transport.close()
