"""A buffered log: the lines of a fiftieth of a second are written in one system call."""

import asyncio
import atexit
import json
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

_HELD_SECONDS = 0.02

Event = dict[str, Any]


class BufferedLog:
    """What logs are written to, in place of a file.

    A write lets go of Python's lock, and while threads compute it may take a millisecond to have it again.
    What is logged outside of an event loop is written at once, and what is held when the process ends then.
    Only one that is killed loses the lines of its last fiftieth of a second.

    Args:
        file: where the lines go.
        rendered: gives an event's line, without its end. It is asked when the line is written: one after the
            other they take less than each by itself, between other work.
    """

    def __init__(self, file: TextIO, rendered: Callable[[Event], str]) -> None:
        self._file = file
        self._rendered = rendered
        self._held: deque[str | Event] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None  # that is going to write
        atexit.register(self._write)

    def write(self, text: str) -> int:
        """Hold text until it is flushed; gives its length."""
        self._held.append(text)
        return len(text)

    def add(self, event: Event) -> None:
        """Hold an event, and have it written soon."""
        self._held.append(event)
        self.flush()

    def flush(self) -> None:
        """Have it written soon."""
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
        while self._held:
            one = self._held.popleft()
            held.append(one if isinstance(one, str) else self._line(one))
        if held:
            self._file.write("".join(held))
            self._file.flush()

    def _line(self, event: Event) -> str:
        try:
            return self._rendered(event) + "\n"
        except Exception as error:  # of a value's own making: the other lines are not to be lost with it
            return json.dumps({"event": "a log line could not be written", "error": repr(error)}) + "\n"


class EventLogger:
    """What structlog gives the events to, once they are complete."""

    def __init__(self, lines: BufferedLog) -> None:
        self._lines = lines

    def msg(self, **event: Any) -> None:
        """Log an event, of whatever level: it says so itself."""
        self._lines.add(event)

    debug = info = warning = error = critical = msg
