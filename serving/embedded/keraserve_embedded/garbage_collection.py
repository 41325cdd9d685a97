"""The garbage collector, and giving memory back to the operating system."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def imports_for_life() -> Iterator[None]:
    """Keep the garbage collector from what is imported meanwhile, which stays as long as the process.

    TensorFlow's are half a million objects. To look through them again and again takes a fifth of the import,
    and later a tenth of the time of requests, which a collection stops.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def collect_rarely() -> None:
    """Let a round of the garbage collector begin later: what requests leave behind goes without one."""
    gc.set_threshold(10_000)


def give_back() -> None:
    """Collect what unloaded models leave (TensorFlow's Python objects form cycles) and return freed pages."""
    gc.collect()
    # glibc keeps freed memory for itself; other C libraries have no such call.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
