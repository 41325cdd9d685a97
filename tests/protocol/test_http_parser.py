"""Ambiguous HTTP requests are rejected; an offer of another protocol is ignored."""

from typing import Any

import httptools
import pytest

from keraserve_protocol.http_parser import RequestParser

HEAD = b"POST /p?q HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH = b"Content-Length: 2\r\n\r\nab"


class Receiver:
    """Keeps the requests that are whole: method, target, names of headers and trailers, body."""

    def __init__(self, *pieces: bytes) -> None:
        self.requests: list[tuple[bytes, bytes, list[bytes], bytes]] = []
        self.heads, self.fault, self.lasts = 0, "", False
        self.parser: Any = RequestParser(self)
        try:
            for piece in pieces:
                self.parser.feed_data(piece)
        except httptools.HttpParserError:
            self.fault = self.parser.fault
        self.parser.close()

    def on_message_begin(self) -> None:
        self.url, self.headers, self.body = b"", [], b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.heads += 1
        self.lasts = self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        names = [name for name, _ in self.headers]
        self.requests.append((self.parser.get_method(), self.url, names, self.body))


@pytest.mark.shows("400")
@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"Content-Length: 2\r\n" + LENGTH,
        HEAD + b"Content-Length: 1\r\n" + LENGTH,
        HEAD + b"Content-Length: 2, 2\r\n\r\nab",
        HEAD + b"Transfer-Encoding: chunked\r\n" + LENGTH,
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        *(
            HEAD + b"Transfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n"
            for coding in (
                b"chunked, identity",
                b"identity, chunked",
                b"gzip, chunked",
                b"chunked, chunked",
                b"chunked\r\nTransfer-Encoding: chunked",
                b"identity\r\nTransfer-Encoding: chunked",
                b"identity",
                b"xchunked",
                b"chunked;q=1",
                b"\x0bchunked",
            )
        ),
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"X: a\r\n b\r\n" + LENGTH,
        HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length:\r\n 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\n Host: x\r\n\r\n",
        HEAD + b"Content-Length : 2\r\n\r\nab",
        HEAD + b"Content-Length\t: 2\r\n\r\nab",
        (HEAD + LENGTH).replace(b"\r\n", b"\n"),
        (HEAD + LENGTH).replace(b"\r\n\r\n", b"\r\n\n"),
        HEAD + b"X: a\nContent-Length: 7\r\n" + LENGTH,
        HEAD + b"X: a\rContent-Length: 7\r\n" + LENGTH,
        HEAD + b"X: a\0b\r\n" + LENGTH,
        *(
            HEAD + b"Content-Length: " + length + b"\r\n\r\nab"
            for length in (b"+2", b"-1", b"0x2", b"0_2", b"2 0", b"", b"two", b"2.0", b"18446744073709551618")
        ),
        *(
            CHUNKED + chunks
            for chunks in (
                b"1;a\nx\r\n0\r\n\r\n",
                b"1;a\nb\r\nx\r\n0\r\n\r\n",
                b"1;a\rb\r\nx\r\n0\r\n\r\n",
                b"1;a\x01b\r\nx\r\n0\r\n\r\n",
                b"1 \r\nx\r\n0\r\n\r\n",
                b" 1\r\nx\r\n0\r\n\r\n",
                b"1\nx\r\n0\r\n\r\n",
                b"1\r\nx\n0\r\n\r\n",
                b"1\r\nx0\r\n\r\n",
                b"1\r\nxy\r\n0\r\n\r\n",
                b"0x1\r\nx\r\n0\r\n\r\n",
                b"+1\r\nx\r\n0\r\n\r\n",
                b"-1\r\nx\r\n0\r\n\r\n",
                b"10000000000000001\r\nx\r\n0\r\n\r\n",
                b"\r\nx\r\n0\r\n\r\n",
                b"1\r\nx\r\n0\n\n",
                b"1\r\nx\r\n0\r\nContent-Length: 5\r\n\r\n",
                b"1\r\nx\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
            )
        ),
        b"POST / HTTP/1.1\r\n" + LENGTH,
        HEAD + b"Host: x\r\n" + LENGTH,
        HEAD + b"Host: y\r\n" + LENGTH,
        b"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n",
        *(
            b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
            for host in (b"a b", b"a/b", b"user@a", b"a:b", b"[::1", b"a\xff", b"http://a")
        ),
        b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: x\r\n\r\n",
        b"GET /\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n",
        HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n" + LENGTH,
    ],
)
def test_ambiguous_requests_are_rejected(request_: bytes) -> None:
    for pieces in ([request_], [request_[i : i + 1] for i in range(len(request_))]):
        receiver = Receiver(*pieces, NEXT)
        assert receiver.fault
        assert receiver.requests == []


def test_valid_requests_are_read() -> None:
    for request in (
        HEAD + LENGTH,
        HEAD + b'Transfer-Encoding: Chunked\r\n\r\n1;a=b;c="d"\r\na\r\n01\r\nb\r\n0\r\nA: b\r\n\r\n',
        b"\r\n" + HEAD + LENGTH,
        HEAD.replace(b"Host: x", b"host:127.0.0.1:8000 ") + LENGTH,
        HEAD.replace(b"x", b"[::1]:8000") + LENGTH,
        HEAD.replace(b"x", b"") + LENGTH,
        HEAD.replace(b"/p?q", b"http://x/p?q") + LENGTH,
        HEAD.replace(b"1.1", b"1.0").replace(b"Host: x\r\n", b"Connection: keep-alive\r\n") + LENGTH,
    ):
        receiver = Receiver(request + NEXT)
        assert receiver.fault == ""
        assert [(target[-4:], body) for _, target, _, body in receiver.requests] == [
            (b"/p?q", b"ab"),
            (b"next", b""),
        ]


@pytest.mark.shows("Upgrade")
@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"TLS/1.0", b"foo, bar"])
@pytest.mark.parametrize("body", [LENGTH, b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: 1\r\n\r\n"])
def test_an_offer_of_another_protocol_is_ignored(upgrade: bytes, body: bytes) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + upgrade + b"\r\nHTTP2-Settings: AAMA\r\n"
    sent = HEAD + offer + body + NEXT.replace(b"x\r\n", b"x\r\n" + offer) + HEAD + body + NEXT
    plain = Receiver(HEAD + body + NEXT + HEAD + body + NEXT)
    assert plain.heads == 4
    for cut in range(len(sent)):
        receiver = Receiver(sent[:cut], sent[cut:])
        assert receiver.fault == ""
        assert receiver.heads == 4
        assert [one[:2] + one[3:] for one in receiver.requests] == [
            one[:2] + one[3:] for one in plain.requests
        ]
        assert {b"upgrade", b"connection", b"host"} <= set(receiver.requests[0][2])
        assert receiver.requests[0][2].count(b"host") == 1
    assert len(Receiver(*(sent[i : i + 1] for i in range(len(sent)))).requests) == 4


def test_an_offer_does_not_keep_a_connection_open() -> None:
    for options, lasts in ((b"upgrade", True), (b"close, upgrade", False)):
        receiver = Receiver(HEAD + b"Connection: " + options + b"\r\nUpgrade: h2c\r\n" + LENGTH)
        assert receiver.body == b"ab"
        assert receiver.lasts is lasts
