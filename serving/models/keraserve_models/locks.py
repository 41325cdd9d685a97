"""File locks between processes. The system releases a lock when its process dies, so none is left behind."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock on a file, which is made if need be and stays.

    Raises:
        BlockingIOError: `wait` is false and another process holds it.
    """
    # A file system without locks is an error: a soft lock would outlive a process that is killed.
    lock = FileLock(path, blocking=wait, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(f"{path} is locked") from None
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process holds a lock on a file; false where the file can't be opened."""
    if not path.exists():
        return False
    try:
        with locked(path, wait=False):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False
