"""Waiting for something that a test expects."""

import time
from collections.abc import Callable

import pytest


def until(true: Callable[[], bool], otherwise: str, seconds: float = 60) -> None:
    """Wait until a function returns true; after so many seconds the test fails with `otherwise`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            pytest.fail(otherwise)
        time.sleep(0.05)
