"""A buffered log: the lines of 20 ms are written in one system call."""

import asyncio
import atexit
from collections import deque
from typing import TextIO

_HELD_SECONDS = 0.02


class BufferedLog:
    """What logs are written to, in place of a file.

    A write releases Python's lock, and while threads compute it may take a millisecond to get it back. What
    is logged outside an event loop is written at once; what is held when the process ends is written then.
    A process that is killed loses the lines of its last 20 ms.

    Args:
        file: where the lines go.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._held: deque[str] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None  # that is going to write
        atexit.register(self._write)

    def write(self, text: str) -> int:
        """Hold text until it is flushed; gives its length."""
        self._held.append(text)
        return len(text)

    def flush(self) -> None:
        """Have what is held written soon."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write()
            return
        if self._loop is not loop:
            self._loop = loop
            loop.call_later(_HELD_SECONDS, self._write)

    def _write(self) -> None:
        self._loop = None
        held: list[str] = []
        while self._held:  # a thread may add to it meanwhile
            held.append(self._held.popleft())
        if held:
            self._file.write("".join(held))
            self._file.flush()
