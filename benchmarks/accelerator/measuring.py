"""Time steps on a device. Needs Keras and one backend, nothing of this repository's packages."""

import gc
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import numpy as np

from accelerator import networks
from accelerator.steps import Step

PRECISIONS = ("float32", "tf32", "bfloat16")
_ROUNDS = 3
_SHOWN = 8  # examples for which every backend has to give the same
_KEPT = 2000  # of the numbers that a network gives for those
_WARM = 3  # steps before any is timed: the first ones choose algorithms and reserve memory


class Task(Protocol):
    """One step of one network on one batch that is on the device."""

    def shown(self) -> Any:
        """What the network gives for the first few examples, float32; before it has learnt."""
        ...

    def repeat(self, count: int) -> None:
        """Do the step so many times, and wait for the last one's end."""
        ...


class Backend(Protocol):
    """What `on_jax` and `on_torch` are."""

    def device(self) -> str:
        """The device's name."""
        ...

    def version(self) -> str:
        """The backend's."""
        ...

    def precision(self, name: str) -> AbstractContextManager[None]:
        """Set how exactly float32 numbers are multiplied, in the block."""
        ...

    def Task(  # noqa: N802 (it is a class there)
        self, model: Any, loss: Any, optimizer: Any, inputs: Any, targets: Any, shown: int
    ) -> Task:
        """A step of `model`: gradients and update where there is a loss, else a look."""
        ...

    def product(self, side: int, dtype: str) -> Callable[[int], None]:
        """Multiplies two square matrices as often as it is told."""
        ...


@dataclass(frozen=True)
class Timed:
    """A step with one size of batch in one precision.

    Attributes:
        step: its label.
        batch: examples in it.
        documented: whether the experiment has this size of batch.
        precision: one of `PRECISIONS`.
        preparing: seconds to build and compile it, and for the first steps.
        seconds: of one step, in each round.
        values: the first of what it gives for a few examples.
    """

    step: str
    batch: int
    documented: bool
    precision: str
    preparing: float
    seconds: list[float]
    values: list[float]

    @property
    def rate(self) -> float:
        """Examples a second, the middle of the rounds."""
        return self.batch / median(self.seconds)


def measure(backend: Backend, step: Step, batch: int, precision: str, seconds: float) -> Timed:
    """Time a step for about so many seconds."""
    try:
        with backend.precision(precision):
            return _timed(backend, step, batch, precision, seconds)
    finally:
        gc.collect()  # or the next one finds the device's memory taken


def task(backend: Backend, step: Step, batch: int, precision: str) -> Any:
    """Build a step's task, with a batch of that size."""
    import keras

    restored: Any = keras.saving.deserialize_keras_object
    model = networks.build(step, precision)
    inputs, targets = networks.examples(step, model, batch)
    return backend.Task(model, restored(step.loss), restored(step.optimizer), inputs, targets, _SHOWN)


def _timed(backend: Backend, step: Step, batch: int, precision: str, seconds: float) -> Timed:
    began = time.monotonic()
    one = task(backend, step, batch, precision)
    values = [float(value) for value in np.ravel(one.shown())[:_KEPT]]
    one.repeat(_WARM)
    preparing = time.monotonic() - began
    count = max(_WARM, round(seconds / _ROUNDS / _seconds(one.repeat, _WARM)))
    rounds = [_seconds(one.repeat, count) for _ in range(_ROUNDS)]
    return Timed(step.label, batch, batch == step.batch, precision, preparing, rounds, values)


def reachable(backend: Backend, side: int) -> dict[str, float]:
    """Floating-point operations a second of the product of two large square matrices, in every precision."""
    found = {}
    for name in PRECISIONS:
        with backend.precision(name):
            repeat = backend.product(side, "bfloat16" if name == "bfloat16" else "float32")
            repeat(_WARM)
            found[name] = 2 * side**3 / median(_seconds(repeat, 10) for _ in range(_ROUNDS))
    return found


def _seconds(repeat: Callable[[int], None], count: int) -> float:
    """Of one, of so many in a row."""
    began = time.perf_counter()
    repeat(count)
    return (time.perf_counter() - began) / count
