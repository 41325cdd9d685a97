"""The learning rate range test: the rate rises geometrically with each step, and the loss is watched.

The test is from Leslie N. Smith, "Cyclical Learning Rates for Training Neural Networks" (WACV 2017), section
3.3; the geometric rise, the smoothing and the end at a multiple of the lowest loss from fastai's `lr_find`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

LOWEST, HIGHEST, STEPS = 1e-7, 10.0, 200
_SMOOTHING = 0.95  # of the exponential moving average, what stays in each step
_DIVERGED = 4.0  # times the lowest smoothed loss
_FALLS = 0.02  # a loss that falls by less, of what it was at first, has no slope to go by


@dataclass(frozen=True)
class RangeTest:
    """What the test measured.

    Attributes:
        rates: of each step.
        losses: of each step's batch, before the step.
        smoothed: their exponential moving average, corrected for its start.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]

    @property
    def lowest(self) -> float:
        """The rate at which the smoothed loss is lowest."""
        return self.rates[self._lowest]

    @property
    def steepest(self) -> float | None:
        """The rate at which the smoothed loss falls fastest, by the logarithm of the rate; None: nowhere."""
        start, end = max(1, len(self.rates) // 10), self._lowest
        fallen = self.smoothed[start] - self.smoothed[end] if end > start else 0.0
        if fallen < _FALLS * abs(self.smoothed[start]):
            return None
        width = max(1, STEPS // 40)
        slopes = {
            place: self.smoothed[min(place + width, end)] - self.smoothed[max(place - width, 0)]
            for place in range(start, end)
        }
        return self.rates[min(slopes, key=slopes.__getitem__)]

    @property
    def advice(self) -> float | None:
        """A tenth of the rate of the lowest loss, or the steepest descent's if that is lower.

        None: the loss hardly falls at any rate, so the test says nothing.
        """
        return None if self.steepest is None else min(self.lowest / 10, self.steepest)

    @property
    def _lowest(self) -> int:
        return min(range(len(self.smoothed)), key=self.smoothed.__getitem__)


def measure(model: Any, batches: Any, tell: Callable[[int], None]) -> RangeTest:
    """Train a compiled model for up to `STEPS` steps, each at a higher rate than the one before.

    The model is spoilt by it. `batches` is a `tf.data.Dataset` of inputs and targets, which is repeated.
    """
    optimizer = type(model.optimizer).from_config(model.optimizer.get_config() | {"learning_rate": LOWEST})
    model.compile(loss=model.loss, optimizer=optimizer, jit_compile=False)
    rising = _Rising(tell)
    model.fit(batches.repeat(), steps_per_epoch=STEPS, epochs=1, verbose=0, shuffle=False, callbacks=[rising])
    return RangeTest(rising.rates, rising.losses, smoothed(rising.losses))


def smoothed(losses: Sequence[float]) -> list[float]:
    """The exponential moving average of losses, divided by the sum of its weights."""
    found: list[float] = []
    mean = 0.0
    for count, loss in enumerate(losses, 1):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        found.append(mean / (1 - _SMOOTHING**count))
    return found


class _Rising(keras.callbacks.Callback):
    """Sets the rate of each step, notes its loss, and stops when that diverges."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        super().__init__()
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._tell = tell

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Before step `batch`, from 0. Keras reports the mean loss since the last reset."""
        model: Any = self.model
        model.reset_metrics()
        model.optimizer.learning_rate.assign(LOWEST * (HIGHEST / LOWEST) ** (batch / (STEPS - 1)))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """After step `batch`."""
        model: Any = self.model
        loss = float((logs or {})["loss"])
        if not math.isfinite(loss):
            model.stop_training = True
            return
        self.rates.append(model.optimizer.learning_rate.numpy().item())
        self.losses.append(loss)
        self._tell(batch + 1)
        now = smoothed(self.losses)
        if batch > STEPS // 10 and now[-1] > _DIVERGED * min(now):
            model.stop_training = True
