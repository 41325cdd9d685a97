"""Many pictures: a few requests in flight, several pictures in each, the answers in the pictures' order.

A request costs the client, the network and the gateway about as much as a small picture's way through the
model does; pictures that travel together share it. Nothing here grows with the number of pictures.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from keraserve_client._errors import InvalidInput
from keraserve_client._images import Image, Picture, is_one, load_one, name_of
from keraserve_client._types import Failure, Prediction

Outcomes = list[Prediction | Failure]

_TOGETHER = 8  # pictures in a request at most: more gain next to nothing
_HEAVY = 1 << 20  # bytes of a request from which on its fixed costs don't matter
_REQUESTS = 4  # in flight at least, if the concurrency allows it: the server never waits for us


@dataclass(frozen=True, slots=True)
class Shape:
    """How `concurrency` pictures travel: so many requests at a time, with so many pictures each."""

    requests: int
    pictures: int

    @classmethod
    def of(cls, concurrency: int) -> "Shape":
        """Divide them.

        Raises:
            InvalidInput: less than 1.
        """
        if concurrency < 1:
            raise InvalidInput(f"concurrency has to be 1 or more, not {concurrency}")
        pictures = min(_TOGETHER, max(1, concurrency // _REQUESTS))
        return cls(concurrency // pictures, pictures)

    @property
    def pending(self) -> int:
        """How many requests may wait, be under way, or be answered before their turn has come."""
        return 2 * self.requests if self.requests > 1 else 1


def check(images: object, *, asynchronous: bool) -> None:
    """Refuse what can't be gone through, and a single picture, which would be taken apart.

    Raises:
        InvalidInput: one of these.
    """
    if is_one(images):
        raise InvalidInput("that is one picture; give a list, or another iterable of pictures")
    if isinstance(images, AsyncIterable) and not asynchronous:
        raise InvalidInput("an async iterable of pictures needs an async client")
    if not isinstance(images, Iterable | AsyncIterable):
        raise InvalidInput(f"a {type(images).__name__} is no iterable of pictures")


def loaded(images: list[Image]) -> list[list[Picture] | Failure]:
    """Read and encode pictures; gives them in order, as lists of those that travel together."""
    parts: list[list[Picture] | Failure] = []
    weight = 0
    for image in images:
        try:
            picture = load_one(image)
        except (InvalidInput, OSError) as error:
            parts.append(Failure(name_of(image), error))
            continue
        weight += len(picture.data)
        last = parts[-1] if parts else None
        if isinstance(last, list) and weight <= _HEAVY:
            last.append(picture)
        else:
            parts.append([picture])
            weight = len(picture.data)
    return parts


def stream(
    images: Iterable[Image], shape: Shape, ask: Callable[[list[Image]], Outcomes]
) -> Generator[Prediction | Failure]:
    """Give the outcomes of all pictures in order; a few threads ask."""
    threads = ThreadPoolExecutor(shape.requests, thread_name_prefix="keraserve")
    pending: deque[Future[Outcomes]] = deque()
    try:
        for group in _groups(images, shape.pictures):
            pending.append(threads.submit(ask, group))
            if len(pending) >= shape.pending:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        # Who stops listening doesn't wait for what is under way: it ends at its own deadline.
        threads.shutdown(wait=False, cancel_futures=True)


async def stream_async(
    images: Iterable[Image] | AsyncIterable[Image],
    shape: Shape,
    ask: Callable[[list[Image]], Awaitable[Outcomes]],
) -> AsyncGenerator[Prediction | Failure]:
    """Give the outcomes of all pictures in order; a few tasks ask."""
    places = asyncio.Semaphore(shape.requests)
    pending: deque[asyncio.Task[Outcomes]] = deque()

    async def ask_in_turn(group: list[Image]) -> Outcomes:
        async with places:
            return await ask(group)

    try:
        async for group in _groups_async(images, shape.pictures):
            pending.append(asyncio.create_task(ask_in_turn(group)))
            if len(pending) >= shape.pending:
                for outcome in await pending[0]:
                    yield outcome
                pending.popleft()
        while pending:
            for outcome in await pending[0]:
                yield outcome
            pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def _groups(images: Iterable[Image], size: int) -> Iterator[list[Image]]:
    iterator = iter(images)
    while group := list(islice(iterator, size)):
        yield group


async def _groups_async(
    images: Iterable[Image] | AsyncIterable[Image], size: int
) -> AsyncGenerator[list[Image]]:
    if isinstance(images, AsyncIterable):
        group: list[Image] = []
        async for image in images:
            group.append(image)
            if len(group) == size:
                yield group
                group = []
        if group:
            yield group
    else:
        for group in _groups(images, size):
            yield group
