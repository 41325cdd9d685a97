"""Files of public data sets in Keras' cache: found, fetched, checked, and never there in part."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from keraserve_models.locks import locked
from keraserve_training.data.examples import Tell
from keraserve_training.errors import DataUnavailableError

T = TypeVar("T")
Fill = Callable[[Path, Tell], bool]

_ABANDONED_SECONDS = 6 * 3600


class NotWholeError(Exception):
    """A file is missing, cut off or something else."""


def missing(name: str, archive: str) -> str:
    """What to do if a data set can't be downloaded; `archive` is its authors' file."""
    return (
        f"{name} is not on this machine, and Keras could not download it: connect it once, or copy {archive}"
        f" into {folder()}, or give a folder of class folders with --data; --profile sample does without."
    )


def folder(*parts: str) -> Path:
    """A folder below `$KERAS_HOME/datasets` (KERAS_HOME: `~/.keras` unless set)."""
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    return Path(home).expanduser().joinpath("datasets", *parts)


@dataclass(frozen=True)
class Cached(Generic[T]):
    """A data set that is, or will be, in the cache.

    Attributes:
        name: of the data set, for people.
        folder: its folder in the cache.
        names: the files and folders that it consists of, in `folder`.
        read: reads them from a folder; raises NotWholeError unless they are there and whole.
        missing: the message of the error where no way to get them works.
    """

    name: str
    folder: Path
    names: Sequence[str]
    read: Callable[[Path], T]
    missing: str

    def load(self, tell: Tell, ways: Sequence[Fill]) -> T:
        """Read the data set, after fetching it if need be.

        Args:
            tell: is told in a sentence what takes long.
            ways: how to get it, tried in order; each fills an empty folder, or returns False if it can't. A
                file appears in the cache only after it was read to its end.

        Raises:
            DataUnavailableError: no way worked, or the cache can't be written; says what to do.
        """
        with contextlib.suppress(NotWholeError):
            return self.read(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Without the lock, the processes of a study would each fetch it.
            with locked(self.folder / ".lock"):
                with contextlib.suppress(NotWholeError):
                    return self.read(self.folder)
                return self._fetch(tell, ways)
        except OSError as error:
            raise DataUnavailableError(
                f"{self.name} can't be put into {self.folder} ({error.strerror}): make space there, or set"
                " KERAS_HOME to a folder that you may write."
            ) from error

    def _fetch(self, tell: Tell, ways: Sequence[Fill]) -> T:
        for fill in ways:
            with _own_folder(self.folder) as own:
                if not fill(own, tell):
                    continue
                with contextlib.suppress(NotWholeError):
                    self.read(own)
                    for name in self.names:
                        (own / name).replace(self.folder / name)
                    return self.read(self.folder)
        raise DataUnavailableError(self.missing)


@contextlib.contextmanager
def _own_folder(folder: Path) -> Iterator[Path]:
    """An empty folder on the cache's disk; removes it afterwards, and those that killed processes left."""
    for left in folder.glob(".fetching-*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    own = Path(tempfile.mkdtemp(prefix=".fetching-", dir=folder))
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
