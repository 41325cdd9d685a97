"""Time steps on a device. Needs Keras and one backend, nothing of this repository's packages."""

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

    def compile(self) -> None:
        """Compile what is compiled as a whole."""
        ...

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

    def held(self) -> int:
        """Bytes of the device's memory that stay with this process."""
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
        values: the first of what it gives for a few examples; nothing with another size of batch than the
            experiment's, as that gives the same.
    """

    step: str
    batch: int
    documented: bool
    precision: str
    preparing: float
    seconds: list[float]
    values: list[float]

    def __str__(self) -> str:
        rate = self.batch / median(self.seconds)
        asked = f"{self.step}, {self.batch} in {self.precision}"
        return f"{asked}: {rate:,.0f}/s, prepared in {self.preparing:.0f} s"


def task(backend: Backend, step: Step, batch: int, precision: str) -> Any:
    """Build a step's task, with a batch of that size."""
    import keras

    restored: Any = keras.saving.deserialize_keras_object
    model = networks.build(step, precision)
    inputs, targets = networks.examples(step, model, batch)
    return backend.Task(model, restored(step.loss), restored(step.optimizer), inputs, targets, _SHOWN)


class Figure:
    """A step with one size of batch in one precision: made ready, then timed."""

    def __init__(self, backend: Backend, step: Step, batch: int, precision: str) -> None:
        """Build and compile; nothing is done yet that would disturb another's timing for long."""
        began = time.monotonic()
        self._backend, self._step, self._batch, self._precision = backend, step, batch, precision
        with backend.precision(precision):
            self._task: Task = task(backend, step, batch, precision)
            self._task.compile()
        self._preparing = time.monotonic() - began

    def timed(self, seconds: float) -> Timed:
        """Do it for about so many seconds."""
        began = time.monotonic()
        documented = self._batch == self._step.batch
        with self._backend.precision(self._precision):
            values = [float(value) for value in np.ravel(self._task.shown())[:_KEPT]] if documented else []
            self._task.repeat(_WARM)
            preparing = self._preparing + time.monotonic() - began
            count = max(_WARM, round(seconds / _ROUNDS / _seconds(self._task.repeat, _WARM)))
            rounds = [_seconds(self._task.repeat, count) for _ in range(_ROUNDS)]
        return Timed(self._step.label, self._batch, documented, self._precision, preparing, rounds, values)


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
