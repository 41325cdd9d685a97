"""Contexts for the import of TensorFlow: garbage collection paused, stderr closed."""

import gc
import os
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def permanent_imports() -> Generator[None]:
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


@contextmanager
def closed_stderr() -> Generator[None]:
    """Drop what is written to stderr, also by C++ code: TensorFlow has no log level while it is loaded."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
