"""One connection of the REST port: uvicorn's, with a parser that refuses what can be read in two ways."""

from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from keraserve_protocol import rest
from keraserve_protocol.http_parser import RequestParser


class RestConnection(HttpToolsProtocol):
    """For uvicorn's `http` setting."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.parser: Any = RequestParser(cast(Any, self))
        self._in_head = False

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is none, and would be taken for one."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._in_head = False
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self.parser.close()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser does not take, in TensorFlow Serving's form, and close."""
        del msg  # uvicorn's
        body = rest.error_answer(f"this is not HTTP/1.1, or the request is malformed: {self.parser.fault}")
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        self.transport.close()
