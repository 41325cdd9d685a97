"""Offloading: work on large bodies runs in a thread, one body at a time, beside the event loop."""

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from keraserve_gateway.context import RequestContext
from keraserve_gateway.errors import DeadlineExceeded
from keraserve_protocol import messages as m
from keraserve_protocol.elements import PIECE
from keraserve_protocol.number_text import Steps

LARGE = 1 << 16
"""Bytes; more are not processed in one turn of the event loop."""
LARGE_EXAMPLES = 1 << 14
"""Bytes of JSON; lower for examples, each of which becomes a message."""

# One thread for bodies: two would compete for Python's lock. Another, so that no image waits for a long list.
_bodies = ThreadPoolExecutor(1, "body")
_images = ThreadPoolExecutor(1, "image")
P = ParamSpec("P")
T = TypeVar("T")


def is_large(response: m.PredictResponse) -> bool:
    """Whether a response takes long to write: many bytes, or few that stand for many equal elements."""
    if response.ByteSize() > LARGE:
        return True
    shapes = (tensor.tensor_shape.dim for tensor in response.outputs.values())
    return sum(math.prod(one.size for one in shape) for shape in shapes) > PIECE


async def offload(
    context: RequestContext, large: bool, function: Callable[P, T], *given: P.args, **named: P.kwargs
) -> T:
    """Call a function, in the thread for bodies if `large`.

    Raises:
        DeadlineExceeded: the deadline passed while other bodies were processed.
    """
    if not large:
        return function(*given, **named)
    return await _run(_bodies, context, partial(function, *given, **named))


async def offload_image(
    context: RequestContext, function: Callable[P, T], *given: P.args, **named: P.kwargs
) -> T:
    """Call a function in the thread for images; raises as `offload`."""
    return await _run(_images, context, partial(function, *given, **named))


async def _run(thread: ThreadPoolExecutor, context: RequestContext, call: Callable[[], T]) -> T:
    try:
        async with asyncio.timeout(context.timeout):
            return await asyncio.get_running_loop().run_in_executor(thread, call)
    except TimeoutError as error:
        raise DeadlineExceeded("the deadline passed before the body was worked on") from error


async def run_in_turns(steps: Steps[T]) -> T:
    """Run work to its end; other requests proceed whenever it pauses."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        await asyncio.sleep(0)
