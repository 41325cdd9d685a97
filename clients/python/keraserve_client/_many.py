"""Many images: a few requests in flight, several images in each, the responses in the images' order.

A request costs the client, the network and the gateway about as much as a small image's way through the
model does; images that travel together share it. Nothing here grows with the number of images.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from keraserve_client._errors import InvalidInput
from keraserve_client._images import EncodedImage, Image, is_one, load_one, name_of
from keraserve_client._types import Failure, Prediction

Outcomes = list[Prediction | Failure]

_TOGETHER = 8  # images in a request at most: more gain next to nothing
_HEAVY = 1 << 20  # bytes of a request from which on its fixed costs don't matter
_REQUESTS = 4  # in flight at least, if the concurrency allows it: the server never waits for us


@dataclass(frozen=True, slots=True)
class Shape:
    """How `concurrency` images travel: so many requests at a time, with so many images each."""

    requests: int
    images: int

    @classmethod
    def of(cls, concurrency: int) -> "Shape":
        """Divide them.

        Raises:
            InvalidInput: less than 1.
        """
        if concurrency < 1:
            raise InvalidInput(f"concurrency has to be 1 or more, not {concurrency}")
        images = min(_TOGETHER, max(1, concurrency // _REQUESTS))
        return cls(concurrency // images, images)

    @property
    def pending(self) -> int:
        """How many requests may wait, be under way, or be answered before their turn has come."""
        return 2 * self.requests if self.requests > 1 else 1


def check(images: object, *, asynchronous: bool) -> None:
    """Reject what can't be gone through, and a single image, which would be taken apart.

    Raises:
        InvalidInput: one of these.
    """
    if is_one(images):
        raise InvalidInput("that is one image; give a list, or another iterable of images")
    if isinstance(images, AsyncIterable) and not asynchronous:
        raise InvalidInput("an async iterable of images needs an async client")
    if not isinstance(images, Iterable | AsyncIterable):
        raise InvalidInput(f"a {type(images).__name__} is no iterable of images")


def loaded(images: list[Image]) -> list[list[EncodedImage] | Failure]:
    """Read and encode images; gives them in order, as lists of those that travel together."""
    parts: list[list[EncodedImage] | Failure] = []
    weight = 0
    for image in images:
        try:
            encoded = load_one(image)
        except (InvalidInput, OSError) as error:
            parts.append(Failure(name_of(image), error))
            continue
        weight += len(encoded.data)
        last = parts[-1] if parts else None
        if isinstance(last, list) and weight <= _HEAVY:
            last.append(encoded)
        else:
            parts.append([encoded])
            weight = len(encoded.data)
    return parts


def stream(
    images: Iterable[Image], shape: Shape, ask: Callable[[list[Image]], Outcomes]
) -> Generator[Prediction | Failure]:
    """Give the outcomes of all images in order; a few threads ask."""
    threads = ThreadPoolExecutor(shape.requests, thread_name_prefix="keraserve")
    pending: deque[Future[Outcomes]] = deque()
    try:
        for group in _groups(images, shape.images):
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
    """Give the outcomes of all images in order; a few tasks ask."""
    places = asyncio.Semaphore(shape.requests)
    pending: deque[asyncio.Task[Outcomes]] = deque()

    async def ask_in_turn(group: list[Image]) -> Outcomes:
        async with places:
            return await ask(group)

    try:
        async for group in _groups_async(images, shape.images):
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
