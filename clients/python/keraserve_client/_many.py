"""`classify_many`: several images in each request, a few requests in flight, outcomes in the images' order.

A request costs client, network and gateway about as much as the model takes for a small image, so several
images share one. Memory does not grow with the number of images.
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

_MOST_IMAGES = 8  # in a request: more gain next to nothing
_MOST_BYTES = 1 << 20  # in a request of several images: the fixed costs of a larger one don't matter
_REQUESTS = 4  # in flight at least, if the concurrency allows it, so that the server never waits


@dataclass(frozen=True, slots=True)
class Shape:
    """How `concurrency` images are sent: so many requests at a time, with so many images each."""

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
        images = min(_MOST_IMAGES, max(1, concurrency // _REQUESTS))
        return cls(concurrency // images, images)

    @property
    def pending(self) -> int:
        """How many requests may wait, be in flight, or be done while an earlier one is not."""
        return 2 * self.requests if self.requests > 1 else 1


def check(images: object, *, asynchronous: bool) -> None:
    """Check that these are images to iterate over.

    Raises:
        InvalidInput: no iterable, or a single image.
    """
    if is_one(images):
        raise InvalidInput("that is one image; give a list, or another iterable of images")
    if isinstance(images, AsyncIterable) and not asynchronous:
        raise InvalidInput("an async iterable of images needs an async client")
    if not isinstance(images, Iterable | AsyncIterable):
        raise InvalidInput(f"a {type(images).__name__} is no iterable of images")


def loaded(images: list[Image]) -> list[list[EncodedImage] | Failure]:
    """Read and encode images; returns them in order, as lists of those that one request sends."""
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
        if isinstance(last, list) and weight <= _MOST_BYTES:
            last.append(encoded)
        else:
            parts.append([encoded])
            weight = len(encoded.data)
    return parts


def stream(
    images: Iterable[Image], shape: Shape, classify: Callable[[list[Image]], Outcomes]
) -> Generator[Prediction | Failure]:
    """Yield the outcomes of all images in order; `shape.requests` threads call `classify`."""
    threads = ThreadPoolExecutor(shape.requests, thread_name_prefix="keraserve")
    pending: deque[Future[Outcomes]] = deque()
    try:
        for group in _groups(images, shape.images):
            pending.append(threads.submit(classify, group))
            if len(pending) >= shape.pending:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        # A closed generator does not wait for the requests in flight: they end at their own deadlines.
        threads.shutdown(wait=False, cancel_futures=True)


async def stream_async(
    images: Iterable[Image] | AsyncIterable[Image],
    shape: Shape,
    classify: Callable[[list[Image]], Awaitable[Outcomes]],
) -> AsyncGenerator[Prediction | Failure]:
    """Yield the outcomes of all images in order; `shape.requests` tasks at a time await `classify`."""
    slots = asyncio.Semaphore(shape.requests)
    pending: deque[asyncio.Task[Outcomes]] = deque()

    async def classify_in_slot(group: list[Image]) -> Outcomes:
        async with slots:
            return await classify(group)

    try:
        async for group in _groups_async(images, shape.images):
            pending.append(asyncio.create_task(classify_in_slot(group)))
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
