"""The deadline of a request that waits on a thread; it can be cancelled."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future

from keraserve_embedded.errors import DeadlineExceededError, RequestCancelledError
from keraserve_protocol.tensors import Array


class Deadline:
    """When a caller stops waiting.

    Args:
        seconds: how long it waits from now; None: without limit.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds
        self._future: Future[Mapping[str, Array]] | None = None
        self._cancelled = False
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Stop waiting now; the request leaves its queue. From any thread."""
        with self._lock:
            self._cancelled = True
            future = self._future
        if future:
            future.cancel()

    def seconds_left(self) -> float | None:
        """Return how many seconds are left, at least 0; None without limit."""
        if self._until is None:
            return None
        # gRPC gives a call without a deadline centuries, more than a lock can wait.
        return min(max(0.0, self._until - time.monotonic()), threading.TIMEOUT_MAX)

    def result(self, future: "Future[Mapping[str, Array]]") -> Mapping[str, Array]:
        """Wait for the results.

        Raises:
            DeadlineExceededError: they took too long.
            RequestCancelledError: `cancel` was called.
        """
        with self._lock:
            self._future = future
            cancelled = self._cancelled
        if cancelled:
            future.cancel()
        try:
            return future.result(self.seconds_left())
        except TimeoutError:
            future.cancel()
            raise DeadlineExceededError("Deadline Exceeded") from None
        except CancelledError:
            raise RequestCancelledError("CANCELLED") from None
