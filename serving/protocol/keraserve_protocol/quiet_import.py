"""Contexts for imports: garbage collection paused, stderr closed, another package kept out."""

import gc
import os
import sys
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


@contextmanager
def without(package: str) -> Generator[None]:
    """Let what is imported meanwhile find no such package, as if it were not installed.

    OpenVINO sends a message to its makers at each import if its package `openvino_telemetry` is there.
    """
    there = sys.modules.get(package)
    sys.modules[package] = None  # pyright: ignore[reportArgumentType] - Python's own mark for that
    try:
        yield
    finally:
        del sys.modules[package]
        if there is not None:
            sys.modules[package] = there
