"""A backend of `make bench-accelerator` for the tests: TensorFlow's forward pass."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def device() -> str:
    return "cpu"


def version() -> str:
    return "some"


def held() -> int:
    return 0


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Ends the process if it is `ends`."""
    if name == "ends":
        os._exit(1)
    yield


class Task:
    """The forward pass."""

    def __init__(self, model: Any, _loss: Any, _optimizer: Any, inputs: Any, _: Any, few: int) -> None:
        self._model, self._inputs, self._few = model, inputs, few

    def compile(self) -> None:
        pass

    def outputs(self) -> Any:
        return np.asarray(self._model(self._inputs[: self._few]))

    def repeat(self, count: int) -> None:
        for _ in range(count):
            self._model(self._inputs)


def product(side: int, dtype: str) -> Callable[[int], None]:
    matrix = np.ones((side, side), dtype)

    def repeat(count: int) -> None:
        for _ in range(count):
            matrix @ matrix

    return repeat
