"""Python's garbage collector, and the return of freed memory to the operating system."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def permanent_imports() -> Iterator[None]:
    """Exclude what is imported meanwhile from garbage collection: it stays as long as the process.

    TensorFlow makes half a million objects. Collections that visit them take a fifth of the import's time,
    and later a tenth of the time of requests, which wait while a collection runs.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def collect_less_often() -> None:
    """Raise the threshold of a collection: reference counts alone free what requests leave."""
    gc.set_threshold(10_000)


def release_memory() -> None:
    """Collect the reference cycles that unloaded models leave, and return freed pages."""
    gc.collect()
    # glibc keeps freed memory for itself; other C libraries have no such call.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
