"""A thread that calls a function periodically."""

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class Periodic:
    """Calls a function at intervals of some seconds, or at once after `wake`, until `stop`."""

    def __init__(self, name: str, seconds: float, function: Callable[[], None]) -> None:
        self._seconds = seconds
        self._function = function
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; the first call comes after the first interval."""
        self._thread.start()

    def wake(self) -> None:
        """Make the next call now."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread, after the present call."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._seconds or None)
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._function()
            except Exception as error:
                # An exception must not end this thread: no other looks for new versions.
                log.error("%s failed: %s: %s", self._thread.name, type(error).__name__, error)
