"""A time limit for what happens in every request: as `asyncio.timeout`, with one timer for all of them.

Nearly all limits end unused, and uvloop closes each timer in a call that takes and releases Python's lock,
which other threads wait for.
"""

import asyncio
import math
from types import TracebackType


class TimeLimit:
    """A context that ends what is awaited inside it after some seconds: `with TimeLimit(2.5): …`.

    As `asyncio.timeout`, it cancels the task, and raises TimeoutError in place of CancelledError.
    """

    def __init__(self, seconds: float) -> None:
        self._timer = _timer()
        self.at = self._timer.loop.time() + seconds
        self._passed = False

    def __enter__(self) -> None:
        """Begin, in a task."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - else nothing could be awaited
        self._task, self._cancelling = task, task.cancelling()
        self._timer.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; a task that was cancelled for another reason, too, stays cancelled."""
        self._timer.remove(self)
        mine = self._passed and self._task.uncancel() <= self._cancelling
        if mine and kind is not None and issubclass(kind, asyncio.CancelledError):
            raise TimeoutError from error

    def end(self) -> None:
        """Cancel the task: the time is over, or the caller treats it so."""
        self._timer.remove(self)
        if not self._passed:
            self._passed = True
            self._task.cancel()


class _SharedTimer:
    """An event loop's open limits, and one timer for the earliest of them.

    The timer stays when that limit ends: when it fires, it finds nothing to end and is set again for the then
    earliest limit. So limits of similar length, one after the other, set it once in that time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._open: set[TimeLimit] = set()
        self._handle: asyncio.TimerHandle | None = None
        self._fires_at = math.inf

    def add(self, limit: TimeLimit) -> None:
        self._open.add(limit)
        if limit.at < self._fires_at:
            self._set(limit.at)

    def remove(self, limit: TimeLimit) -> None:
        self._open.discard(limit)

    def _set(self, at: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._fires_at = at
        self._handle = self.loop.call_at(at, self._fire)

    def _fire(self) -> None:
        now = max(self.loop.time(), self._fires_at)  # uvloop fires up to half a millisecond early
        self._handle, self._fires_at = None, math.inf
        for limit in [one for one in self._open if one.at <= now]:
            limit.end()
        if self._open:
            self._set(min(one.at for one in self._open))


_latest: _SharedTimer | None = None  # a gateway has one event loop


def _timer() -> _SharedTimer:
    global _latest
    loop, timer = asyncio.get_running_loop(), _latest
    if timer is None or timer.loop is not loop:
        timer = _latest = _SharedTimer(loop)
    return timer
