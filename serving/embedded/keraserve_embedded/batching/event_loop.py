"""Between an event loop and the batcher's threads: what comes up in one turn of the loop goes over together.

So requests that arrive together run together, where the first alone would have woken a thread; and a batch
that has run wakes the loop once, not once for each of its requests.
"""

import asyncio
from collections import deque
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import partial

from keraserve_embedded.batching.arrays import Arrays
from keraserve_embedded.batching.batcher import Batcher
from keraserve_embedded.calls.work import Work


@dataclass(slots=True)
class _Asked:
    work: Work
    answer: "asyncio.Future[Arrays]"
    queued: "Future[Arrays] | None" = None


class LoopTurn:
    """The way to a batcher for one event loop. Not for threads."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._loop = asyncio.get_running_loop()
        self._held: list[_Asked] = []
        self._ended: deque[tuple[asyncio.Future[Arrays], Future[Arrays]]] = deque()
        self._woken = False

    async def run(self, work: Work) -> Arrays:
        """Run work in a batch; cancelling takes it out of the queue.

        Raises what `Batcher.submit` and its future do.
        """
        if not self._held:
            self._loop.call_soon(self._hand_over)
        asked = _Asked(work, self._loop.create_future())
        self._held.append(asked)
        try:
            return await asked.answer
        except asyncio.CancelledError:
            if asked.queued is not None:
                asked.queued.cancel()
            raise

    def _hand_over(self) -> None:
        held = [asked for asked in self._held if not asked.answer.done()]
        self._held = []
        futures = self._batcher.submit_together([asked.work for asked in held])
        for asked, future in zip(held, futures, strict=True):
            asked.queued = future
            future.add_done_callback(partial(self._end, asked.answer))

    def _end(self, answer: "asyncio.Future[Arrays]", future: "Future[Arrays]") -> None:
        """Wake the loop, on any thread: the flag goes up before it and down before what ended is read."""
        self._ended.append((answer, future))
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._woken = False
        while self._ended:
            answer, future = self._ended.popleft()
            if answer.done():
                continue
            try:
                error = future.exception()
            except CancelledError:
                answer.cancel()
                continue
            if error is None:
                answer.set_result(future.result())
            else:
                answer.set_exception(error)
