"""A step by Keras on JAX: a pure function of its state, compiled as a whole by XLA."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np

_PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "float32"}


def device() -> str:
    """Its name."""
    return jax.devices()[0].device_kind


def version() -> str:
    """JAX's."""
    return f"JAX {jax.__version__}"


def held() -> int:
    """Bytes of the device's memory that JAX has taken and keeps; of a processor's it keeps none."""
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("pool_bytes") or stats.get("peak_bytes_in_use") or 0


def precision(name: str) -> AbstractContextManager[None]:
    """How many bits of float32 count in a product; it is compiled in."""
    return jax.default_matmul_precision(_PRECISIONS[name])


class Task:
    """A step, as `measuring.Task` has it; see there."""

    whole = True  # compiled as one

    def __init__(self, model: Any, loss: Any, optimizer: Any, inputs: Any, targets: Any, shown: int) -> None:
        def look(learning: Any, others: Any, inputs: Any) -> Any:
            return model.stateless_call(learning, others, inputs, training=False)[0]

        def only_look(state: Any, inputs: Any, _: Any) -> Any:
            return state, look(*state[:2], inputs)

        def objective(learning: Any, others: Any, inputs: Any, targets: Any) -> Any:
            given, others = model.stateless_call(learning, others, inputs, training=True)
            return loss(targets, given), others

        def learn(state: Any, inputs: Any, targets: Any) -> Any:
            learning, others, slots = state
            gradient = jax.value_and_grad(objective, has_aux=True)
            (value, others), gradients = gradient(learning, others, inputs, targets)
            learning, slots = optimizer.stateless_apply(slots, gradients, learning)
            return (learning, others, slots), value

        if loss:
            optimizer.build(model.trainable_variables)
        parts = model.trainable_variables, model.non_trainable_variables, optimizer.variables if loss else []
        self._state: Any = tuple([variable.value for variable in part] for part in parts)
        self._batch = jax.device_put(inputs), jax.device_put(targets)
        self._few = self._batch[0][:shown]
        self._step: Any = learn if loss else only_look
        self._look: Any = jax.jit(look)
        if self.whole:
            self._step = jax.jit(self._step, donate_argnums=0)

    def compile(self) -> None:
        """All that is compiled, before anything is done."""
        self._look = self._look.lower(*self._state[:2], self._few).compile()
        if self.whole:
            self._step = self._step.lower(self._state, *self._batch).compile()

    def shown(self) -> Any:
        """In inference."""
        return np.asarray(self._look(*self._state[:2], self._few), np.float32)

    def flop(self) -> float:
        """Floating-point operations of a step as it is written, before XLA changes it.

        Raises:
            RuntimeError: JAX (0.11) counts them for a processor only.
        """
        counted = self._step.lower(self._state, *self._batch).cost_analysis()
        if not counted:
            raise RuntimeError("JAX counts operations for a processor only: set JAX_PLATFORMS=cpu")
        return float(counted["flops"])

    def repeat(self, count: int) -> None:
        """The next step begins with the state that the last one left."""
        value = None
        for _ in range(count):
            self._state, value = self._step(self._state, *self._batch)
        jax.block_until_ready((self._state, value))


class TaskByOperation(Task):
    """The same, one operation after the other: without what XLA makes of a step as a whole."""

    whole = False

    def repeat(self, count: int) -> None:
        """The next step begins with the state that the last one left."""
        with jax.disable_jit():
            super().repeat(count)


def product(side: int, dtype: str) -> Callable[[int], None]:
    """Products of two square matrices."""
    one, other = (jax.random.normal(jax.random.key(seed), (side, side), dtype) for seed in range(2))
    multiply = jax.jit(jax.numpy.matmul)

    def repeat(count: int) -> None:
        jax.block_until_ready([multiply(one, other) for _ in range(count)][-1])

    return repeat
