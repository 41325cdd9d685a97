"""Parse HTTP requests strictly by RFC 9110 and RFC 9112: httptools' parser with the checks that it lacks.

A request that two programs could parse differently is rejected. Otherwise, if a proxy takes bytes for a body
that we take for the next request, one caller's bytes become another caller's request (request smuggling).
"""

import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Protocol

import httptools

Headers = Sequence[tuple[bytes, bytes]]

# RFC 3986, 3.2.2 and 3.2.3: a name or an address, and a port. Empty where the target has no authority.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-fvV:.]+\])(?::[0-9]*)?")
_VERSIONS = ("1.1", "1.0")


class Malformed(Exception):  # noqa: N818
    """A request that is rejected; the message is for its sender."""


class Receiver(Protocol):
    """Receives the parts of a request; uvicorn's protocol is one.

    Attributes:
        url: the request's target, as `on_url` was given it.
        headers: those that `on_header` was given, with names in lower case.
        on_message_begin: a request begins.
        on_url: a part of its target arrived.
        on_header: the name and value of a header, or of a trailer, arrived.
        on_headers_complete: its headers are complete.
        on_body: a part of its body arrived.
        on_message_complete: it is complete.
    """

    url: bytes
    headers: list[tuple[bytes, bytes]]
    on_message_begin: Callable[[], None]
    on_url: Callable[[bytes], None]
    on_header: Callable[[bytes, bytes], None]
    on_headers_complete: Callable[[], None]
    on_body: Callable[[bytes], None]
    on_message_complete: Callable[[], None]


class RequestParser:
    """Replaces `httptools.HttpRequestParser`, with the same methods and callbacks.

    An offer to continue with another protocol (`Upgrade: h2c`, `websocket`) is ignored, as RFC 9110, 7.8
    allows: httptools would end the request after its headers, and take its body for the next request.

    Attributes:
        fault: what is wrong with the request that was rejected.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._offered = False  # whether the current request offers another protocol
        self._repeating = False  # whether its headers are parsed again, without the offer
        self._parser: Any = self._made(receiver)
        self.fault = ""

    def feed_data(self, data: bytes) -> None:
        """Parse the next bytes.

        Raises:
            httptools.HttpParserError: they are no request, or one that is rejected.
        """
        try:
            while True:
                try:
                    self._parser.feed_data(data)
                except httptools.HttpParserUpgrade as offer:
                    data = data[offer.args[0] :]
                    self._ignore_offer()
                else:
                    return
        except httptools.HttpParserError as error:
            cause = error.__context__
            self.fault = str(cause if isinstance(cause, Malformed) else error)
            raise

    def get_method(self) -> bytes:
        """Return the request's method."""
        return self._parser.get_method()

    def get_http_version(self) -> str:
        """Return its version of HTTP: 1.1 or 1.0."""
        return self._parser.get_http_version()

    def should_keep_alive(self) -> bool:
        """Tell whether another request may follow on the connection."""
        return self._parser.should_keep_alive()

    def should_upgrade(self) -> bool:
        """Tell whether the connection continues with another protocol: never."""
        return False

    def close(self) -> None:
        """Drop the httptools parser: it refers to the receiver, which refers to this object (a cycle)."""
        self._parser = None

    def _on_headers_complete(self) -> None:
        parser, receiver = self._parser, self._receiver
        if self._repeating:
            self._repeating = False
            receiver.on_headers_complete()
            return
        fault = head_fault(parser.get_http_version(), receiver.headers)
        if fault:
            raise Malformed(fault)
        if not parser.should_upgrade():
            receiver.on_headers_complete()
        elif parser.get_method() == b"CONNECT":
            raise Malformed("CONNECT is for proxies")
        else:
            self._offered = True

    def _on_message_complete(self) -> None:
        if not self._offered:
            self._receiver.on_message_complete()

    def _ignore_offer(self) -> None:
        """Continue with a new parser, which first gets the same headers without the offer."""
        old, receiver = self._parser, self._receiver
        head = _without_offer(old.get_method(), receiver.url, old.get_http_version(), receiver.headers)
        self._offered, self._repeating = False, True
        callbacks = (receiver.on_message_begin, receiver.on_url, receiver.on_header)
        names = ("on_message_begin", "on_url", "on_header")
        calls = {name: self._unless_repeating(call) for name, call in zip(names, callbacks, strict=True)}
        self._parser = self._made(receiver, **calls)
        self._parser.feed_data(head)

    def _unless_repeating(self, call: Callable[..., None]) -> Callable[..., None]:
        def callback(*given: bytes) -> None:
            if not self._repeating:
                call(*given)

        return callback

    def _made(self, receiver: Receiver, **others: Callable[..., None]) -> Any:
        calls = {
            "on_message_begin": receiver.on_message_begin,
            "on_url": receiver.on_url,
            "on_header": receiver.on_header,
            "on_headers_complete": self._on_headers_complete,
            "on_body": receiver.on_body,
            "on_message_complete": self._on_message_complete,
        }
        parser = httptools.HttpRequestParser(SimpleNamespace(**{**calls, **others}))
        # Bytes after a request with `Connection: close` are no reason to reject that request.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser


def head_fault(version: str, headers: Headers) -> str:
    """Find what httptools accepts in a request's headers and RFC 9112 forbids; "" if nothing.

    Args:
        version: the HTTP version of the request.
        headers: with names in lower case.
    """
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if version not in _VERSIONS:
        return f"there is no HTTP/{version} here, only 1.1"
    if hosts > 1 or (hosts == 0 and version == "1.1"):  # RFC 9112, 3.2
        return "a request has one Host header" if hosts else "the Host header is missing"
    if hosts and not _HOST.fullmatch(headers[names.index(b"host")][1].strip(b" \t")):
        return "the Host header is no host"
    codings, lengths = names.count(b"transfer-encoding"), names.count(b"content-length")
    if codings + lengths > 1:  # RFC 9112, 6.3
        return "the length of the body is given more than once"
    if codings and version != "1.1":  # RFC 9112, 6.1
        return "HTTP/1.0 has no Transfer-Encoding"
    if codings and headers[names.index(b"transfer-encoding")][1].strip(b" \t").lower() != b"chunked":
        return "the Transfer-Encoding is another one than chunked"
    return ""


def _without_offer(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """Write the request line and headers without the offer of another protocol."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            options = [one.strip() for one in value.split(b",")]
            lines.append(b"connection: " + b", ".join(one for one in options if one.lower() != b"upgrade"))
        elif name != b"upgrade":
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join((*lines, b"", b""))
