"""One connection of the REST port: uvicorn's, with time limits.

Its parser refuses what can be read in two ways. How long a body may take says `--rest_api_timeout_in_ms`.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keraserve_protocol import rest
from keraserve_protocol.http_parser import RequestParser

HEAD_SECONDS = 10.0  # from the connection, or a request's first byte, to the end of its head
READ_SECONDS = 30.0  # until a caller goes on reading


class RestConnection(HttpToolsProtocol):
    """For uvicorn's `http` setting."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.parser: Any = RequestParser(cast(Any, self))
        self._in_head = False
        self._head_limit: asyncio.TimerHandle | None = None
        self._read_limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A caller has connected: its first request has to come."""
        super().connection_made(transport)
        self._head_limit = self.loop.call_later(HEAD_SECONDS, self._cut_off)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        if self._head_limit is None:
            self._head_limit = self.loop.call_later(HEAD_SECONDS, self._cut_off)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is none, and would be taken for one."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._in_head = False
        if self._head_limit is not None:
            self._head_limit.cancel()
            self._head_limit = None
        super().on_headers_complete()

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
        body = rest.error_answer(f"this is not HTTP/1.1, or the request is malformed: {self.parser.fault}")
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self.transport.close()
