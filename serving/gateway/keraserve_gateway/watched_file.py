"""A watched file: a file that a running server reads again whenever it changes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

Content = TypeVar("Content")

LOOK_SECONDS = 0.02
"""How often an event loop checks a file, at most: each check releases Python's lock."""


class WatchedFile(Generic[Content]):
    """The content of a file; if the file can't be read any more, the content that was read last.

    An event loop checks it once in `LOOK_SECONDS`: all requests of that time see the same content.

    Args:
        path: of the file, which has to be replaced as a whole; None for no file.
        parse: reads it; raises OSError or ValueError if it can't.
        content: what counts until it has been read once.
        optional: whether a missing file means `content`.
    """

    def __init__(
        self, path: Path | None, parse: Callable[[Path], Content], content: Content, *, optional: bool = False
    ) -> None:
        self._path, self._parse, self._empty, self._optional = path, parse, content, optional
        self._content = content
        self._seen: tuple[int, int, int] | None = None
        self._checked_by: asyncio.AbstractEventLoop | None = None  # within the last LOOK_SECONDS
        self.problem: Exception | None = None
        """Why it can't be read now, if it can't."""

    @property
    def content(self) -> Content:
        """The file's content; reads the file if it has changed."""
        if self._path is not None and not self._just_checked():
            try:
                self._refresh(self._path)
            except (OSError, ValueError) as error:
                if self.problem is None:
                    structlog.get_logger().warning(f"{self._path.name} can't be read", reason=str(error))
                self.problem = error
        return self._content

    def _just_checked(self) -> bool:
        """Return whether the file was checked just now; if not, the caller has to check it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if self._checked_by is loop:
            return True
        self._checked_by = loop
        loop.call_later(LOOK_SECONDS, self._forget_check)
        return False

    def _forget_check(self) -> None:
        self._checked_by = None

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
