"""Work on large bodies: in a thread, one at a time, while the event loop stays with all other requests."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from keraserve_gateway.deadline import Trip
from keraserve_gateway.errors import DeadlineExceeded

LARGE = 1 << 16
"""Bytes; more is not worked on in one turn of the event loop."""
LARGE_EXAMPLES = 1 << 14
"""Bytes of JSON of examples, of which each is made a message."""

_one_at_a_time = ThreadPoolExecutor(1, "body")  # two would only take turns, and the event loop's too
P = ParamSpec("P")
T = TypeVar("T")


async def aside(trip: Trip, large: bool, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """Call a function that computes, in the thread if it has much to do.

    Raises:
        DeadlineExceeded: other bodies took all of the request's time.
    """
    if not large:
        return function(*given, **named)
    call = partial(function, *given, **named)
    try:
        async with asyncio.timeout(trip.timeout):
            return await asyncio.get_running_loop().run_in_executor(_one_at_a_time, call)
    except TimeoutError as error:
        raise DeadlineExceeded("the deadline passed before the body was worked on") from error
