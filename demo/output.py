"""`Output`: what programs print; while they start it is shown only if the start fails."""

import contextlib
import os
import sys
import threading
from collections import deque
from typing import Self

_KEPT = 20  # lines that say why a start failed


class Output:
    """A pipe for the output of processes, which is kept back at first. A context manager.

    Attributes:
        descriptor: the end of the pipe to which the processes write.
    """

    def __init__(self) -> None:
        reading, self.descriptor = os.pipe()
        self._lines: deque[bytes] = deque(maxlen=_KEPT)
        self._lock = threading.Lock()
        self._shown = False
        self._thread = threading.Thread(target=self._pass_on, args=(reading,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
        self._thread.join(5)

    def show(self) -> None:
        """Pass all later output on."""
        with self._lock:
            self._shown = True

    def show_last(self) -> None:
        """Print the last lines that were kept back."""
        with self._lock:
            self._shown = True
            for line in self._lines:
                _write(line)

    def _pass_on(self, reading: int) -> None:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                with self._lock:
                    if self._shown:
                        _write(line)
                    else:
                        self._lines.append(line)


def _write(line: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):  # the terminal is closed
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
