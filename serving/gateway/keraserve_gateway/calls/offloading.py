"""Offloading: work on large bodies runs in a thread, one at a time, beside the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from keraserve_gateway.context import RequestContext
from keraserve_gateway.errors import DeadlineExceeded
from keraserve_protocol.number_text import Steps

LARGE = 1 << 16
"""Bytes; more is not worked on in one turn of the event loop."""
LARGE_EXAMPLES = 1 << 14
"""Bytes of JSON of examples, of which each is made a message."""

# One at a time: two would only take turns, and the event loop's too. But an image waits for no long list.
_bodies = ThreadPoolExecutor(1, "body")
_images = ThreadPoolExecutor(1, "image")
P = ParamSpec("P")
T = TypeVar("T")


async def offload(
    context: RequestContext, large: bool, function: Callable[P, T], *given: P.args, **named: P.kwargs
) -> T:
    """Call a function that computes, in the thread if it has much to do.

    Raises:
        DeadlineExceeded: other bodies took all of the request's time.
    """
    if not large:
        return function(*given, **named)
    return await _run(_bodies, context, partial(function, *given, **named))


async def offload_image(
    context: RequestContext, function: Callable[P, T], *given: P.args, **named: P.kwargs
) -> T:
    """Call a function that looks through an image, in the thread for them.

    Raises:
        DeadlineExceeded: as `offload`.
    """
    return await _run(_images, context, partial(function, *given, **named))


async def _run(thread: ThreadPoolExecutor, context: RequestContext, call: Callable[[], T]) -> T:
    try:
        async with asyncio.timeout(context.timeout):
            return await asyncio.get_running_loop().run_in_executor(thread, call)
    except TimeoutError as error:
        raise DeadlineExceeded("the deadline passed before the body was worked on") from error


async def run_in_turns(steps: Steps[T]) -> T:
    """Drive work to its end; others have their turn whenever it pauses."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        await asyncio.sleep(0)
