"""A request's body: received with a size limit and a deadline, then expanded if it is compressed."""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from keraserve_gateway.context import RequestContext
from keraserve_gateway.errors import RequestTimeout, TooLarge
from keraserve_gateway.http import compression
from keraserve_gateway.incomplete_bodies import IncompleteBodies, IncompleteBody
from keraserve_gateway.time_limit import TimeLimit

_LATE = "the body did not arrive before the request's deadline"
_GIVEN_UP = "the bodies that are arriving need more than max_arriving_bytes, and this one took longest"


async def receive(
    receive_message: Receive, context: RequestContext, limit: int, incomplete: IncompleteBodies
) -> bytes:
    """Receive a request's body as it was sent.

    Raises:
        TooLarge: it has more than `limit` bytes; if its declared length is too large, nothing is read.
        RequestTimeout: it did not arrive before the deadline, or was given up for other bodies.
        ClientDisconnect: the client has closed the connection.
    """
    declared = context.header("content-length") or ""
    digits = declared.lstrip("0")
    if digits.isdecimal() and (len(digits) > len(str(limit)) or int(digits) > limit):
        raise _too_large(limit)
    chunks: list[bytes] = []
    size, more = 0, True
    time_limit = TimeLimit(context.timeout)
    body = IncompleteBody(incomplete, time_limit)
    try:
        with time_limit, body:
            while more:
                message = await receive_message()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk, more = message.get("body", b""), message.get("more_body", False)
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
                if more:
                    body.add(len(chunk))
    except TimeoutError as error:
        raise RequestTimeout(_GIVEN_UP if body.given_up else _LATE) from error
    return b"".join(chunks)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body has more than {limit} bytes, as many as are allowed (max_body_bytes)")


async def expanded(context: RequestContext, limit: int) -> bytes:
    """Take the received body from the context, once, and expand it if it is compressed.

    Raises:
        TooLarge: it has more than `limit` bytes when it is expanded.
        UnsupportedMediaType: its compression is not known.
        BadRequest: its compression is malformed.
    """
    body, context.body = context.body, b""
    coding = compression.coding_of(context.header("content-encoding"))
    return await asyncio.to_thread(compression.expand, body, coding, limit) if coding else body
