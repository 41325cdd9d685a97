"""Between an event loop and the batcher's threads: what comes up in one turn of the loop goes over together.

So requests that arrive together run together, where the first alone would have woken a thread; and a batch
that has run wakes the loop once, not once for each of its requests.
"""

import asyncio
from collections import deque
from concurrent.futures import Future

from keraserve_embedded.batch import Arrays
from keraserve_embedded.batching import Batcher
from keraserve_embedded.work import Work


class LoopTurn:
    """The way to a batcher for one event loop. Not for threads."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._loop = asyncio.get_running_loop()
        self._held: list[tuple[Work, asyncio.Future[Arrays]]] = []
        self._ended: deque[tuple[asyncio.Future[Arrays], Future[Arrays]]] = deque()
        self._woken = False

    async def run(self, work: Work) -> Arrays:
        """Run work in a batch; cancelling takes it out of the queue.

        Raises what `Batcher.submit` and its future do.
        """
        if not self._held:
            self._loop.call_soon(self._hand_over)
        answer: asyncio.Future[Arrays] = self._loop.create_future()
        self._held.append((work, answer))
        return await answer

    def _hand_over(self) -> None:
        held = [(work, answer) for work, answer in self._held if not answer.done()]
        self._held = []
        futures = self._batcher.submit_together([work for work, _ in held])
        for (_, answer), future in zip(held, futures, strict=True):
            answer.add_done_callback(lambda answer, future=future: answer.cancelled() and future.cancel())
            future.add_done_callback(lambda future, answer=answer: self._end(answer, future))

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
            if future.cancelled():
                answer.cancel()
            elif (error := future.exception()) is not None:
                answer.set_exception(error)
            else:
                answer.set_result(future.result())
