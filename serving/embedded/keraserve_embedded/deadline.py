"""How long somebody waits for an answer, and whether still."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future

from keraserve_embedded.errors import DeadlinePassedError, GivenUpError
from keraserve_protocol.tensors import Array


class Patience:
    """A caller on a thread of its own.

    Args:
        seconds: how long it waits, from now; None: for ever.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._until = None if seconds is None else time.monotonic() + seconds
        self._waited_for: Future[Mapping[str, Array]] | None = None
        self._gone = False
        self._lock = threading.Lock()

    def give_up(self) -> None:
        """Wait no longer: what waits in a queue leaves it. From any thread."""
        with self._lock:
            self._gone = True
            future = self._waited_for
        if future:
            future.cancel()

    def _left(self) -> float | None:
        if self._until is None:
            return None
        # gRPC says of a call without a deadline that it may take centuries, more than a lock can wait.
        return min(max(0.0, self._until - time.monotonic()), threading.TIMEOUT_MAX)

    def result(self, future: "Future[Mapping[str, Array]]") -> Mapping[str, Array]:
        """Wait for the results.

        Raises:
            DeadlinePassedError: they took too long.
            GivenUpError: the caller gave up.
        """
        with self._lock:
            self._waited_for = future
            gone = self._gone
        if gone:
            future.cancel()
        try:
            return future.result(self._left())
        except TimeoutError:
            future.cancel()
            raise DeadlinePassedError("Deadline Exceeded") from None
        except CancelledError:
            raise GivenUpError("CANCELLED") from None
