"""The body of a request, read with a bound and a deadline."""

import asyncio

from starlette.requests import Request

from keraserve_gateway.deadline import Deadline
from keraserve_gateway.errors import SlowBody, TooLarge
from keraserve_gateway.http import compression
from keraserve_gateway.time_limit import TimeLimit


async def read(request: Request, limit: int, deadline: Deadline) -> bytes:
    """Read the body, by its declared length or chunked, and expand it if it is compressed.

    Raises:
        TooLarge: more than `limit` bytes, as sent or expanded; what is declared too long is not read at all.
        SlowBody: it did not arrive before the deadline.
        UnsupportedMedia, BadRequest: compressed in a way that is not known, or badly.
    """
    declared = request.headers.get("content-length", "")
    digits = declared.lstrip("0")
    if digits.isdecimal() and (len(digits) > len(str(limit)) or int(digits) > limit):
        raise TooLarge(f"the body has more than {limit} bytes, as many as are allowed")
    chunks: list[bytes] = []
    size = 0
    try:
        with TimeLimit(deadline.left()):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"the body has more than {limit} bytes, as many as are allowed")
                chunks.append(chunk)
    except TimeoutError as error:
        raise SlowBody("the body did not arrive before the request's deadline") from error
    body = b"".join(chunks)
    coding = request.headers.get("content-encoding", "identity")
    if coding == "identity":
        return body
    return await asyncio.to_thread(compression.expand, body, coding, limit)
