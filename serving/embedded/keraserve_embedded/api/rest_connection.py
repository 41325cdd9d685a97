"""One connection of the REST port: uvicorn's, with limits on time, on its head, and on how many there are.

Its parser refuses what can be read in two ways. How long a body may take says `--rest_api_timeout_in_ms`.
"""

import asyncio
import time
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keraserve_protocol import rest
from keraserve_protocol.http_parser import RequestParser

HEAD_SECONDS = 10.0  # from the connection, or a request's first byte, to the end of its head
READ_SECONDS = 30.0  # until a caller goes on reading
HEAD_BYTES = 32 << 10  # of a request's line and headers, or of its trailers
MOST = 400  # connections: one more takes the place of the one that has gone longest without a request in work


class _HeadTooLarge(Exception):  # noqa: N818 (raised to the parser, seen by nobody else)
    pass


class RestConnection(HttpToolsProtocol):
    """For uvicorn's `http` setting."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.parser: Any = RequestParser(cast(Any, self))
        self._in_head = False
        self._head_bytes = 0
        self._unreported_bytes = 0  # since the parser reported something: what it collects, or skips
        self.quiet_since = time.monotonic()
        self._head_limit: asyncio.TimerHandle | None = None
        self._read_limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller has connected: its first request has to come."""
        super().connection_made(transport)
        self._head_limit = self.loop.call_later(HEAD_SECONDS, self._cut_off)
        everyone = cast("set[RestConnection]", self.connections)  # a server's are all of one class
        if len(everyone) > MOST:
            spare = [one for one in everyone if one is not self and not one.in_work]
            min(spare, key=lambda one: one.quiet_since, default=self).transport.abort()

    @property
    def in_work(self) -> bool:
        """Whether it has a request that is here whole, and an answer that is not hindered by its caller."""
        cycle: Any = self.cycle
        return bool(cycle) and not (cycle.response_complete or cycle.more_body or self.flow.write_paused)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        self._unreported_bytes += len(data)
        super().data_received(data)
        if self._unreported_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse_head()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head, self._head_bytes, self.quiet_since = True, 0, time.monotonic()
        if self._head_limit is None:
            self._head_limit = self.loop.call_later(HEAD_SECONDS, self._cut_off)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is none, and would be taken for one."""
        self._count(len(name) + len(value) + 4)
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._in_head = False
        self._head_bytes = self._unreported_bytes = 0
        if self._head_limit is not None:
            self._head_limit.cancel()
            self._head_limit = None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._unreported_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._unreported_bytes, self.quiet_since = 0, time.monotonic()
        super().on_message_complete()

    def pause_writing(self) -> None:
        """The caller does not read what was written."""
        super().pause_writing()
        self._read_limit = self._read_limit or self.loop.call_later(READ_SECONDS, self._cut_off)

    def resume_writing(self) -> None:
        """The caller has read."""
        if self._read_limit is not None:
            self._read_limit.cancel()
            self._read_limit = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also where the caller has not read its last answer."""
        super().timeout_keep_alive_handler()
        if self.transport.get_write_buffer_size():
            self._cut_off()

    def _cut_off(self) -> None:
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        for limit in (self._head_limit, self._read_limit):
            if limit is not None:
                limit.cancel()
        self.parser.close()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser does not take, in TensorFlow Serving's form, and close."""
        del msg  # uvicorn's
        if self._head_bytes > HEAD_BYTES:
            self._refuse_head()
        else:
            says = f"this is not HTTP/1.1, or the request is malformed: {self.parser.fault}"
            self._refuse(HTTPStatus.BAD_REQUEST, says)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            raise _HeadTooLarge

    def _refuse_head(self) -> None:
        says = f"the request's line and headers have more than {HEAD_BYTES} bytes"
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, says)

    def _refuse(self, status: HTTPStatus, says: str) -> None:
        body = rest.error_answer(says)
        head = f"HTTP/1.1 {int(status)} {status.phrase}\r\ncontent-type: application/json\r\n"
        length = f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        self.transport.write(f"{head}{length}".encode() + body)
        self.transport.close()
