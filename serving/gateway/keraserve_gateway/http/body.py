"""The body of a request, read with a bound and a deadline."""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from keraserve_gateway.errors import SlowBody, TooLarge
from keraserve_gateway.exchange import Exchange
from keraserve_gateway.http import compression
from keraserve_gateway.time_limit import TimeLimit


async def read(receive: Receive, exchange: Exchange, limit: int) -> bytes:
    """Read a request's body, once: by its declared length or chunked, expanded if it is compressed.

    Raises:
        TooLarge: more than `limit` bytes, as sent or expanded; what is declared too long is not read at all.
        SlowBody: it did not arrive before the deadline.
        UnsupportedMedia, BadRequest: compressed in a way that is not known, or badly.
        ClientDisconnect: the client is gone.
    """
    declared = exchange.header("content-length") or ""
    digits = declared.lstrip("0")
    if digits.isdecimal() and (len(digits) > len(str(limit)) or int(digits) > limit):
        raise TooLarge(f"the body has more than {limit} bytes, as many as are allowed")
    chunks: list[bytes] = []
    size, more = 0, True
    try:
        with TimeLimit(exchange.trip.timeout):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk, more = message.get("body", b""), message.get("more_body", False)
                size += len(chunk)
                if size > limit:
                    raise TooLarge(f"the body has more than {limit} bytes, as many as are allowed")
                chunks.append(chunk)
    except TimeoutError as error:
        raise SlowBody("the body did not arrive before the request's deadline") from error
    body = b"".join(chunks)
    coding = compression.named(exchange.header("content-encoding"))
    return await asyncio.to_thread(compression.expand, body, coding, limit) if coding else body
