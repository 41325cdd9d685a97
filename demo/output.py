"""What programs print while they start: shown only if the start fails; from then on as it comes."""

import contextlib
import os
import sys
import threading
from collections import deque
from types import TracebackType
from typing import Self

_KEPT = 20  # lines that say why a start failed


class Output:
    """A pipe for the output of processes, whose lines are held back at first. A context manager.

    Attributes:
        descriptor: where the processes write.
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)
        self._thread.join(5)

    def show(self) -> None:
        """Pass on what comes from now on."""
        with self._lock:
            self._shown = True

    def show_last(self) -> None:
        """Show the last of what was held back."""
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
    with contextlib.suppress(OSError, ValueError):  # nobody looks any more
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
