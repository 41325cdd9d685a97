"""Responses that the connection writes itself, whole, before there is an ASGI request."""

import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple

import structlog

from keraserve_gateway.context import new_id

log = structlog.get_logger()

Headers = Sequence[tuple[bytes, bytes]]


class Head(NamedTuple):
    """A request of which nothing is made yet.

    Attributes:
        method: in capital letters.
        url: as it came: the path, undecoded, and the query.
        headers: their names in small letters.
        standard: the headers of every response of this server's.
    """

    method: bytes
    url: bytes
    headers: Headers
    standard: Headers


Rejecter = Callable[[Head], bytes | None]
"""Gives the whole response to a request that is rejected; None for one that is not."""


def serialized(status: HTTPStatus, headers: Headers, body: bytes) -> bytes:
    """Write a whole response."""
    lines = [f"HTTP/1.1 {int(status)} {status.phrase}".encode(), *(b"%b: %b" % header for header in headers)]
    return b"\r\n".join((*lines, b"content-length: %d" % len(body), b"", body))


def final_response(status: HTTPStatus, detail: str, retry_after: int | None = None) -> bytes:
    """Write and log the problem, in the form of `error_responses`, with which a connection ends."""
    request_id = new_id()
    log.info("connection refused", status=int(status), detail=detail, request_id=request_id)
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": detail,
        "request_id": request_id,
    }
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"x-request-id", request_id.encode()),
        (b"connection", b"close"),
        *([(b"retry-after", b"%d" % retry_after)] if retry_after is not None else []),
    ]
    return serialized(status, headers, json.dumps(problem).encode())
