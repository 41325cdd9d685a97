"""`asyncio.timeout` for what happens in every request: one timer of the event loop for all of them.

Nearly all are made and taken back unused, and uvloop closes each in a call of its own, which takes Python's
lock and lets it go while other threads wait for it.
"""

import asyncio
import math
from types import TracebackType


class TimeLimit:
    """A context that ends what is awaited inside of it after some seconds: `with TimeLimit(2.5): …`.

    As `asyncio.timeout`, it cancels the task, and raises TimeoutError in place of CancelledError.
    """

    def __init__(self, seconds: float) -> None:
        self._watch = _watch()
        self.at = self._watch.loop.time() + seconds
        self._passed = False

    def __enter__(self) -> None:
        """Begin, in a task."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - else nothing could be awaited
        self._task, self._cancelling = task, task.cancelling()
        self._watch.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; a task that somebody else has cancelled, too, stays cancelled."""
        self._watch.remove(self)
        mine = self._passed and self._task.uncancel() <= self._cancelling
        if mine and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error

    def end(self) -> None:
        """Cancel: the time is over, or taken for it."""
        self._watch.remove(self)
        if not self._passed:
            self._passed = True
            self._task.cancel()


class _Watch:
    """The limits that are open in an event loop, and its timer for the earliest.

    The timer stays when that one has gone: it finds nothing to end, and is set for the earliest of then. So
    limits of about the same length, one after the other, set it once in that length.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._open: set[TimeLimit] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._rings = math.inf

    def add(self, limit: TimeLimit) -> None:
        self._open.add(limit)
        if limit.at < self._rings:
            self._set(limit.at)

    def remove(self, limit: TimeLimit) -> None:
        self._open.discard(limit)

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings = at
        self._timer = self.loop.call_at(at, self._ring)

    def _ring(self) -> None:
        now = max(self.loop.time(), self._rings)  # uvloop rings up to half a millisecond before
        self._timer, self._rings = None, math.inf
        for limit in [one for one in self._open if one.at <= now]:
            limit.end()
        if self._open:
            self._set(min(one.at for one in self._open))


_latest: _Watch | None = None  # a gateway has one event loop


def _watch() -> _Watch:
    global _latest
    loop, watch = asyncio.get_running_loop(), _latest
    if watch is None or watch.loop is not loop:
        watch = _latest = _Watch(loop)
    return watch
