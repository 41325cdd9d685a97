"""A backend, Keras on PyTorch: a step runs one operation after the other.

`torch.compile` gains nothing here: it can't trace a functional model of Keras. (Keras 3.15, PyTorch 2.13, on
a processor: it compiles nine parts of InceptionV3, 65 operations in all; a step is as slow.)
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

_DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
torch.backends.cudnn.benchmark = True


def device() -> str:
    """The device's name."""
    return torch.cuda.get_device_name() if _DEVICE == "cuda" else "cpu"


def version() -> str:
    """PyTorch's version."""
    return f"PyTorch {torch.__version__}"


def held() -> int:
    """Bytes of the device's memory that PyTorch does not release."""
    if _DEVICE == "cpu":
        return 0
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved()


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Set the precision of float32 products."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name == "tf32"
    yield


class Task:
    """A step, with the methods of `on_jax.Task`."""

    def __init__(self, model: Any, loss: Any, optimizer: Any, inputs: Any, targets: Any, few: int) -> None:
        self._model, self._loss, self._optimizer = model, loss, optimizer
        self._inputs, self._targets = (torch.as_tensor(each, device=_DEVICE) for each in (inputs, targets))
        self._few = few
        if loss:
            optimizer.build(model.trainable_variables)

    def compile(self) -> None:
        """Nothing: PyTorch compiles nothing here."""

    def outputs(self) -> Any:
        """The outputs for the first few examples in inference, float32, before the first step."""
        with torch.no_grad():
            return self._model(self._inputs[: self._few], training=False).float().cpu().numpy()

    def repeat(self, count: int) -> None:
        """Run the step so many times, each with the state of the one before, and wait for the end."""
        for _ in range(count):
            if self._loss:
                self._learn()
            else:
                with torch.no_grad():
                    self._model(self._inputs, training=False)
        _wait()

    def _learn(self) -> None:
        self._model.zero_grad()
        self._loss(self._targets, self._model(self._inputs, training=True)).backward()
        learning = self._model.trainable_variables
        with torch.no_grad():
            self._optimizer.apply([variable.value.grad for variable in learning], learning)


def product(side: int, dtype: str) -> Callable[[int], None]:
    """A function that multiplies two square matrices so many times."""
    one, other = (torch.randn(side, side, dtype=getattr(torch, dtype), device=_DEVICE) for _ in range(2))

    def repeat(count: int) -> None:
        for _ in range(count):
            torch.matmul(one, other)
        _wait()

    return repeat


def _wait() -> None:
    if _DEVICE == "cuda":
        torch.cuda.synchronize()
