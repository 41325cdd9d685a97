"""The body of a request: received with a bound and a deadline, before it takes a place; expanded after."""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from keraserve_gateway.context import RequestContext
from keraserve_gateway.errors import RequestTimeout, TooLarge
from keraserve_gateway.http import compression
from keraserve_gateway.incomplete_bodies import IncompleteBodies, IncompleteBody
from keraserve_gateway.time_limit import TimeLimit

_CROWDED = "the bodies that are arriving need more than max_arriving_bytes, and this one took longest"


async def receive_whole(
    receive: Receive, context: RequestContext, limit: int, incomplete: IncompleteBodies
) -> bytes:
    """Receive a request's body, by its declared length or chunked, as it was sent.

    Raises:
        TooLarge: more than `limit` bytes; what is declared too long is not read at all.
        RequestTimeout: it did not arrive before the deadline, or others needed the room.
        ClientDisconnect: the client is gone.
    """
    declared = context.header("content-length") or ""
    digits = declared.lstrip("0")
    if digits.isdecimal() and (len(digits) > len(str(limit)) or int(digits) > limit):
        raise TooLarge(f"the body has more than {limit} bytes, as many as are allowed (max_body_bytes)")
    chunks: list[bytes] = []
    size, more = 0, True
    time_limit = TimeLimit(context.timeout)
    body = IncompleteBody(incomplete, time_limit)
    try:
        with time_limit, body:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk, more = message.get("body", b""), message.get("more_body", False)
                size += len(chunk)
                if size > limit:
                    raise TooLarge(
                        f"the body has more than {limit} bytes, as many as are allowed (max_body_bytes)"
                    )
                chunks.append(chunk)
                if more:
                    body.add(len(chunk))
    except TimeoutError as error:
        late = "the body did not arrive before the request's deadline"
        raise RequestTimeout(_CROWDED if body.given_up else late) from error
    return b"".join(chunks)


async def expanded(context: RequestContext, limit: int) -> bytes:
    """Give the body that was received, once; expanded if it is compressed.

    Raises:
        TooLarge: it has more than `limit` bytes when it is expanded.
        UnsupportedMediaType, BadRequest: compressed in a way that is not known, or badly.
    """
    body, context.body = context.body, b""
    coding = compression.named(context.header("content-encoding"))
    return await asyncio.to_thread(compression.expand, body, coding, limit) if coding else body
