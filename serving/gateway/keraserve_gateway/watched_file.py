"""A watched file: read again whenever it changes, as operators expect of a running server."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

Content = TypeVar("Content")

LOOK_SECONDS = 0.02
"""In an event loop a file is looked at once in this time: each look lets go of Python's lock."""


class WatchedFile(Generic[Content]):
    """What a file says now, or said when it could last be read: one that breaks changes nothing.

    Within `LOOK_SECONDS` an event loop looks at it once: all requests of that time find the same.

    Args:
        path: of the file, which has to be replaced as a whole; None for no file.
        parse: reads it; raises OSError or ValueError if it can't.
        content: what counts until it has been read once.
        optional: whether a file that is not there says the same as `content`.
    """

    def __init__(
        self,
        path: Path | None,
        parse: Callable[[Path], Content],
        content: Content,
        *,
        optional: bool = False,
    ) -> None:
        self._path, self._parse, self._empty, self._optional = path, parse, content, optional
        self._content = content
        self._seen: tuple[int, int, int] | None = None
        self._looked: asyncio.AbstractEventLoop | None = None  # that looked just now
        self.problem: Exception | None = None
        """Why it can't be read now, if it can't."""

    @property
    def content(self) -> Content:
        """What the file says; reads it if it has changed."""
        if self._path is not None and not self._looked_just_now():
            try:
                self._refresh(self._path)
            except (OSError, ValueError) as error:
                if self.problem is None:
                    structlog.get_logger().warning(f"{self._path.name} can't be read", reason=str(error))
                self.problem = error
        return self._content

    def _looked_just_now(self) -> bool:
        """Tell whether somebody has looked; if not, who asks is going to."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if self._looked is loop:
            return True
        self._looked = loop
        loop.call_later(LOOK_SECONDS, self._look_again)
        return False

    def _look_again(self) -> None:
        self._looked = None

    def _refresh(self, path: Path) -> None:
        try:
            stat = path.stat()
        except FileNotFoundError:
            if not self._optional:
                raise
            self._content, self._seen, self.problem = self._empty, None, None
            return
        seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if seen != self._seen:
            self._content = self._parse(path)
            self._seen, self.problem = seen, None
