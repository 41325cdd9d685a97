"""The batcher for an event loop: requests of one loop iteration are submitted together.

Otherwise the first of them would wake a thread, and run alone. And a batch that has run wakes the loop once,
not once for each of its requests.
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
class _Pending:
    work: Work
    response: "asyncio.Future[Arrays]"
    queued: "Future[Arrays] | None" = None


class EventLoopBatcher:
    """Submits work of one event loop to a batcher; only for this loop's thread."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._loop = asyncio.get_running_loop()
        self._pending: list[_Pending] = []
        self._ended: deque[tuple[asyncio.Future[Arrays], Future[Arrays]]] = deque()
        self._wakeup_scheduled = False

    async def run(self, work: Work) -> Arrays:
        """Run work in a batch; cancelling takes it out of the queue.

        Raises what `Batcher.submit` and its future do.
        """
        if not self._pending:
            self._loop.call_soon(self._submit)
        pending = _Pending(work, self._loop.create_future())
        self._pending.append(pending)
        try:
            return await pending.response
        except asyncio.CancelledError:
            if pending.queued is not None:
                pending.queued.cancel()
            raise

    def _submit(self) -> None:
        submitted = [pending for pending in self._pending if not pending.response.done()]
        self._pending = []
        futures = self._batcher.submit_together([pending.work for pending in submitted])
        for pending, future in zip(submitted, futures, strict=True):
            pending.queued = future
            future.add_done_callback(partial(self._end, pending.response))

    def _end(self, response: "asyncio.Future[Arrays]", future: "Future[Arrays]") -> None:
        """Wake the loop, from any thread: the flag is set before that, and unset before `_ended` is read."""
        self._ended.append((response, future))
        if not self._wakeup_scheduled:
            self._wakeup_scheduled = True
            self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        self._wakeup_scheduled = False
        while self._ended:
            response, future = self._ended.popleft()
            if response.done():
                continue
            try:
                error = future.exception()
            except CancelledError:
                response.cancel()
                continue
            if error is None:
                response.set_result(future.result())
            else:
                response.set_exception(error)
