"""Load by all four clients, in threads, until it is stopped; what each client got."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from system.faults.product import Product

from keraserve_client import AsyncClient, AsyncGrpcClient, Client, Failure, GrpcClient, KeraserveError

MODEL = "colours"
MOST_IN_FLIGHT = 16
"""The most images that a caller may have in flight, with `classify_many`."""
_PAUSE = 0.02


@dataclass
class Seen:
    """A client's responses, each with its moment and version, and its failures."""

    responses: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    failures: list[str] = field(default_factory=list[str])

    def since(self, moment: float) -> int:
        """Count the responses after a moment of the monotonic clock."""
        return sum(at > moment for at, _ in self.responses)

    def note(self, version: int) -> None:
        """Keep a response."""
        self.responses.append((time.monotonic(), version))


@contextmanager
def callers(product: Product, image: bytes, **settings: Any) -> Iterator[dict[str, Seen]]:
    """Classify with all four classes and with `classify_many`; `settings` are the clients'."""
    over, seen = threading.Event(), {}
    threads: list[threading.Thread] = []

    def start(name: str, work: Callable[[Seen], None]) -> None:
        seen[name] = Seen()
        threads.append(threading.Thread(target=work, args=(seen[name],)))
        threads[-1].start()

    for name, kind, address in (("http", Client, product.url), ("grpc", GrpcClient, product.grpc)):
        start(name, lambda to, k=kind, a=address: _classify(k(a, **settings), image, over, to))
        start(f"{name} many", lambda to, k=kind, a=address: _classify_many(k(a, **settings), image, over, to))
    for name, kind, address in (("http", AsyncClient, product.url), ("grpc", AsyncGrpcClient, product.grpc)):
        start(
            f"async {name}",
            lambda to, k=kind, a=address: asyncio.run(_classify_async(k(a, **settings), image, over, to)),
        )
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join(120)


def _classify(client: Any, image: bytes, over: threading.Event, seen: Seen) -> None:
    with client:
        while not over.wait(_PAUSE):
            try:
                seen.note(client.classify(MODEL, image)[0].version)
            except KeraserveError as error:
                seen.failures.append(f"{type(error).__name__}: {error}")


def _classify_many(client: Any, image: bytes, over: threading.Event, seen: Seen) -> None:
    def source() -> Iterator[bytes]:
        while not over.wait(_PAUSE):
            yield image

    with client:
        try:
            for outcome in client.classify_many(MODEL, source(), concurrency=8):
                if isinstance(outcome, Failure):
                    seen.failures.append(str(outcome.error))
                else:
                    seen.note(outcome.version)
        except KeraserveError as error:
            seen.failures.append(f"ended: {error}")


async def _classify_async(client: Any, image: bytes, over: threading.Event, seen: Seen) -> None:
    async with client:
        while not over.is_set():
            try:
                seen.note((await client.classify(MODEL, image))[0].version)
            except KeraserveError as error:
                seen.failures.append(f"{type(error).__name__}: {error}")
            await asyncio.sleep(_PAUSE)
