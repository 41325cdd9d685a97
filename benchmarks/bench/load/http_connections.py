"""HTTP connections of the load generator, which send prepared bytes and read statuses.

An ordinary client costs more processor time than the servers that are measured. So these are sockets that
never block, epoll and httptools, without an event loop.
"""

import select
import socket
from collections.abc import Iterator

import httptools

_received = memoryview(bytearray(1 << 16))  # in place of new memory for each response
LOST = 0
"""The status of a request whose connection has ended without a response."""


def request(path: str, content_type: str, body: bytes) -> bytes:
    """Write a whole HTTP/1.1 request: a POST, or without a body a GET."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "host: 127.0.0.1", "accept: */*"]
    if body:
        lines += [f"content-type: {content_type}", f"content-length: {len(body)}"]
    return "\r\n".join((*lines, "", "")).encode() + body


class Connection:
    """A connection that is kept open, with one request at a time.

    Attributes:
        since: the moment from which the request in flight counts; None if there is none.
        ended: whether it has to be opened again before the next request.
    """

    def __init__(self, port: int) -> None:
        self.since: float | None = None
        self._port = port
        self.open()

    def open(self) -> None:
        """Connect, or do so again."""
        self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._parser = httptools.HttpResponseParser(self)
        self._unsent = memoryview(b"")
        self._status: int | None = None  # of a complete response
        self.ended = False

    def fileno(self) -> int:
        """The socket's number, for epoll."""
        return self._socket.fileno()

    def send(self, data: bytes, since: float) -> bool:
        """Send a request that counts from `since`, or the part that the socket takes; returns whether all."""
        self.since = since
        self._unsent = memoryview(data)
        return self.send_rest()

    def send_rest(self) -> bool:
        """Send the rest of a request, or the part that the socket takes; returns whether all is sent."""
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:  # the other end is gone, as the next `receive` will say
            self._unsent = memoryview(b"")
        return not self._unsent

    def receive(self) -> int | None:
        """Read what has come; returns the status of a complete response, LOST, or None."""
        try:
            size = self._socket.recv_into(_received)
        except BlockingIOError:
            return None
        except OSError:
            size = 0
        if not size:
            self.ended = True
            return LOST
        try:
            self._parser.feed_data(_received[:size])
        except httptools.HttpParserError:
            self.ended = True
            return LOST
        status, self._status = self._status, None
        return status

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def on_message_complete(self) -> None:
        """Keep the status: called by the parser, which forgets the response afterwards."""
        self._status = self._parser.get_status_code()
        self.ended = bool(self._unsent) or not self._parser.should_keep_alive()


class Connections:
    """Connections to a server on 127.0.0.1; one that has ended is opened again for its next request."""

    def __init__(self, port: int, count: int) -> None:
        self._poll = select.epoll()
        self._by_number: dict[int, Connection] = {}
        self.all = [Connection(port) for _ in range(count)]
        for one in self.all:
            self._watch(one)

    def __enter__(self) -> "Connections":
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.all:
            one.close()
        self._poll.close()

    def send(self, connection: Connection, data: bytes, since: float) -> None:
        """Send a request that counts from `since`.

        Raises:
            OSError: the connection had ended, and can't be opened again.
        """
        if connection.ended:
            connection.open()
            self._watch(connection)
        if not connection.send(data, since):
            self._poll.modify(connection, select.EPOLLIN | select.EPOLLOUT)

    def responses(self, timeout: float | None) -> Iterator[tuple[Connection, float, int]]:
        """Wait for responses, `timeout` seconds at most.

        Yields:
            A connection that is free again, the moment from which its request counts, and the status.
        """
        for number, event in self._poll.poll(timeout):
            connection = self._by_number[number]
            if event & select.EPOLLOUT and connection.send_rest():
                self._poll.modify(connection, select.EPOLLIN)
            if not event & ~select.EPOLLOUT:
                continue
            status = connection.receive()
            if status is None:
                continue
            if connection.ended:
                del self._by_number[number]
                connection.close()
            if connection.since is not None:
                since, connection.since = connection.since, None
                yield connection, since, status

    def _watch(self, connection: Connection) -> None:
        self._by_number[connection.fileno()] = connection
        self._poll.register(connection, select.EPOLLIN)
