"""Set Python's garbage collector, and return freed memory to the operating system."""

import ctypes
import gc
from contextlib import suppress


def collect_less_often() -> None:
    """Raise the threshold of a collection: reference counts free the objects of requests."""
    gc.set_threshold(10_000)


def release_memory() -> None:
    """Collect the reference cycles that unloaded models leave, and return freed pages."""
    gc.collect()
    # glibc keeps freed memory for itself; other C libraries have no such call.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
