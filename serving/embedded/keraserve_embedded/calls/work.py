"""A call as a generator: it yields work for a graph, is sent the results, and returns the response.

So a call is written once, for callers that wait on a thread, in an event loop, or not at all.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from keraserve_embedded.models.signature import Signature
from keraserve_protocol.tensors import Array

Response = TypeVar("Response")
Results = Mapping[str, Array]


@dataclass(frozen=True)
class Work:
    """One run of a signature; the arrays are of its dtypes."""

    signature: Signature
    arrays: Mapping[str, Array]


Call = Generator[Work, Results, Response]


def run_here(work: Work) -> Results:
    """Run work on this thread, without a batch; errors as `Signature.run`."""
    return work.signature.run(work.arrays)


def finish(call: "Call[Response]", run: Callable[[Work], Results] = run_here) -> Response:
    """Run a call to its end on this thread; raises what it raises, and what `run` does."""
    try:
        work = next(call)
        while True:
            work = call.send(run(work))
    except StopIteration as end:
        return end.value


async def finish_async(call: "Call[Response]", run: Callable[[Work], Awaitable[Results]]) -> Response:
    """Run a call to its end in an event loop; raises what it raises, and what `run` does."""
    try:
        work = next(call)
        while True:
            work = call.send(await run(work))
    except StopIteration as end:
        return end.value
