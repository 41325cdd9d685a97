"""The garbage collector, and giving memory back to the operating system."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Keep the garbage collector still while modules are imported, which stay.

    TensorFlow's are half a million objects: to look through them again and again takes a fifth of the import.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def spare_from_collection() -> None:
    """Take what the process holds for life (TensorFlow's modules) out of the garbage collector's rounds.

    Before the first model is loaded: a collection that stops every request takes a tenth of the time then.
    A round begins later too: what requests leave behind goes without one. Nothing is collected before: of
    half a million objects that would find four thousand, and take as long as a small model to load.
    """
    gc.freeze()
    gc.set_threshold(10_000)


def give_back() -> None:
    """Collect what unloaded models leave (TensorFlow's Python objects form cycles) and return freed pages."""
    gc.collect()
    # glibc keeps freed memory for itself; other C libraries have no such call.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
