"""Responses that a connection writes itself, before there is an ASGI request."""

import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple

import structlog

from keraserve_gateway.context import new_id

log = structlog.get_logger()

Headers = Sequence[tuple[bytes, bytes]]


class Head(NamedTuple):
    """The head of a request.

    Attributes:
        method: in upper case.
        url: the undecoded path and the query.
        headers: with names in lower case.
        standard: the headers of every response of this server.
    """

    method: bytes
    url: bytes
    headers: Headers
    standard: Headers


Rejecter = Callable[[Head], bytes | None]
"""Returns the complete response to a request that is rejected, None for any other."""


def serialized(status: HTTPStatus, headers: Headers, body: bytes) -> bytes:
    """Render a complete response."""
    lines = [f"HTTP/1.1 {int(status)} {status.phrase}".encode(), *(b"%b: %b" % header for header in headers)]
    return b"\r\n".join((*lines, b"content-length: %d" % len(body), b"", body))


def final_response(status: HTTPStatus, detail: str, retry_after: int | None = None) -> bytes:
    """Render and log the problem with which a connection ends, in the form of `error_responses`."""
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
