"""One HTTP connection of the load generator: it sends finished bytes and counts what comes back.

An ordinary client costs more processor time than the servers that are measured; this one, on uvloop and
httptools, well under a tenth of a millisecond a request.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 where the connection was lost."""

    status: int
    body: bytes = b""


def request(path: str, content_type: str, body: bytes) -> bytes:
    """Write a whole HTTP/1.1 request: a POST, or without a body a GET."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "host: 127.0.0.1", "accept: */*"]
    if body:
        lines += [f"content-type: {content_type}", f"content-length: {len(body)}"]
    return "\r\n".join((*lines, "", "")).encode() + body


class Connection(asyncio.Protocol):
    """A connection that is kept open; one request at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._then: Callable[[Answer], None] | None = None
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    @classmethod
    async def open(cls, host: str, port: int) -> "Connection":
        """Connect."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    @property
    def closed(self) -> bool:
        """Whether it can't be used any more."""
        return self._transport is None or self._transport.is_closing()

    def ask(self, data: bytes) -> "asyncio.Future[Answer]":
        """Send a request; the future has its answer."""
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.send(data, lambda answer: None if waiting.done() else waiting.set_result(answer))
        return waiting

    def send(self, data: bytes, then: Callable[[Answer], None]) -> None:
        """Send a request; `then` is called with its answer, and may send the next one."""
        self._then = then
        if self.closed:
            self._finish(Answer(0))
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    # The transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        del exc
        self._transport = None
        self._finish(Answer(0))

    # The parser's calls

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Tell who waits."""
        answer = Answer(self._parser.get_status_code(), b"".join(self._body))
        self._body.clear()
        if not self._parser.should_keep_alive():
            self.close()
        self._finish(answer)

    def _finish(self, answer: Answer) -> None:
        then, self._then = self._then, None
        if then is not None:
            then(answer)
