"""Responses that a connection writes itself, before there is an ASGI request."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple

import structlog
from starlette.types import Scope

from keraserve_gateway.http import error_responses
from keraserve_gateway.http.scope import new_context

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
    """Render a complete response; its content-length is that of the body."""
    kept = (b"%b: %b" % header for header in headers if header[0] != b"content-length")
    lines = [f"HTTP/1.1 {int(status)} {status.phrase}".encode(), *kept]
    return b"\r\n".join((*lines, b"content-length: %d" % len(body), b"", body))


def final_response(status: HTTPStatus, detail: str, retry_after: int | None = None) -> bytes:
    """Render and log the problem with which a connection ends, in the form of `error_responses`."""
    scope: Scope = {"method": "", "path": "", "headers": []}
    request_id = new_context(scope, 0.0).request_id
    log.info("connection rejected", status=int(status), detail=detail, request_id=request_id)
    headers = {"x-request-id": request_id, "connection": "close"}
    if retry_after is not None:
        headers["retry-after"] = str(retry_after)
    response = error_responses.problem(scope, int(status), status.phrase, detail, headers=headers)
    return serialized(status, response.raw_headers, bytes(response.body))
