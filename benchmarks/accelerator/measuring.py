"""Timing of steps on a device. Needs Keras and one backend, none of this repository's packages."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from accelerator import networks
from accelerator.steps import Step

PRECISIONS = ("float32", "tf32", "bfloat16")
_ROUNDS = 3
_COMPARED = 8  # examples whose outputs are compared between backends
_KEPT = 2000  # numbers of those outputs
_WARM_UP = 3  # steps before any is timed: the first ones choose algorithms and reserve memory


Backend = Any
"""A module such as `on_jax` or `on_torch`, which documents its functions and its `Task`."""


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
        values: the first outputs for a few examples; none for another batch size than the experiment's, whose
            outputs are the same.
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
        case = f"{self.step}, {self.batch} in {self.precision}"
        return f"{case}: {rate:,.0f}/s, prepared in {self.preparing:.0f} s"


def task(backend: Backend, step: Step, batch: int, precision: str) -> Any:
    """Build a step's task, with a batch of that size."""
    import keras

    restored: Any = keras.saving.deserialize_keras_object
    model = networks.build(step, precision)
    inputs, targets = networks.examples(step, model, batch)
    return backend.Task(model, restored(step.loss), restored(step.optimizer), inputs, targets, _COMPARED)


class Figure:
    """A step with one size of batch in one precision: built, then timed."""

    def __init__(self, backend: Backend, step: Step, batch: int, precision: str) -> None:
        """Build and compile, without using the device for long."""
        began = time.monotonic()
        self._backend, self._step, self._batch, self._precision = backend, step, batch, precision
        with backend.precision(precision):
            self._task = task(backend, step, batch, precision)
            self._task.compile()
        self._preparing = time.monotonic() - began

    def timed(self, seconds: float) -> Timed:
        """Time the step for about so many seconds."""
        began = time.monotonic()
        documented = self._batch == self._step.batch
        with self._backend.precision(self._precision):
            values = [float(value) for value in np.ravel(self._task.outputs())[:_KEPT]] if documented else []
            self._task.repeat(_WARM_UP)
            preparing = self._preparing + time.monotonic() - began
            count = max(_WARM_UP, round(seconds / _ROUNDS / _seconds(self._task.repeat, _WARM_UP)))
            rounds = [_seconds(self._task.repeat, count) for _ in range(_ROUNDS)]
        return Timed(self._step.label, self._batch, documented, self._precision, preparing, rounds, values)


def reachable(backend: Backend, side: int) -> dict[str, float]:
    """Floating-point operations a second of the product of two large square matrices, in every precision."""
    found = {}
    for name in PRECISIONS:
        with backend.precision(name):
            repeat = backend.product(side, "bfloat16" if name == "bfloat16" else "float32")
            repeat(_WARM_UP)
            found[name] = 2 * side**3 / median(_seconds(repeat, 10) for _ in range(_ROUNDS))
    return found


def _seconds(repeat: Callable[[int], None], count: int) -> float:
    """Seconds of one, measured over so many in a row."""
    began = time.perf_counter()
    repeat(count)
    return (time.perf_counter() - began) / count
