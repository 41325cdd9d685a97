"""A backend, Keras on JAX: a step is a pure function of its state, which XLA compiles as a whole."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np

_PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "float32"}


def device() -> str:
    """The device's name."""
    return jax.devices()[0].device_kind


def version() -> str:
    """JAX's version."""
    return f"JAX {jax.__version__}"


def held() -> int:
    """Bytes of the device's memory that JAX does not release; none on a processor."""
    stats = jax.devices()[0].memory_stats() or {}
    return stats.get("pool_bytes") or stats.get("peak_bytes_in_use") or 0


def precision(name: str) -> AbstractContextManager[None]:
    """Set the precision of float32 products; it is part of the compiled step."""
    return jax.default_matmul_precision(_PRECISIONS[name])


class Task:
    """A step on one batch on the device: gradients and update if there is a loss, else a forward pass.

    `few` is the number of examples of which `outputs` returns the network's outputs.
    """

    whole = True  # whether the step is compiled as one function

    def __init__(self, model: Any, loss: Any, optimizer: Any, inputs: Any, targets: Any, few: int) -> None:
        def forward(learning: Any, others: Any, inputs: Any) -> Any:
            return model.stateless_call(learning, others, inputs, training=False)[0]

        def only_forward(state: Any, inputs: Any, _: Any) -> Any:
            return state, forward(*state[:2], inputs)

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
        self._few = self._batch[0][:few]
        self._step: Any = learn if loss else only_forward
        self._forward: Any = jax.jit(forward)
        if self.whole:
            self._step = jax.jit(self._step, donate_argnums=0)

    def compile(self) -> None:
        """Compile the forward pass, and the step if it is compiled as a whole."""
        self._forward = self._forward.lower(*self._state[:2], self._few).compile()
        if self.whole:
            self._step = self._step.lower(self._state, *self._batch).compile()

    def outputs(self) -> Any:
        """The outputs for the first few examples in inference, float32, before the first step."""
        return np.asarray(self._forward(*self._state[:2], self._few), np.float32)

    def flop(self) -> float:
        """Floating-point operations of a step, before XLA optimizes it.

        Raises:
            RuntimeError: the device is no processor; JAX (0.11) counts for processors only.
        """
        counted = self._step.lower(self._state, *self._batch).cost_analysis()
        if not counted:
            raise RuntimeError("JAX counts operations for a processor only: set JAX_PLATFORMS=cpu")
        return float(counted["flops"])

    def repeat(self, count: int) -> None:
        """Run the step so many times, each with the state of the one before, and wait for the end."""
        value = None
        for _ in range(count):
            self._state, value = self._step(self._state, *self._batch)
        jax.block_until_ready((self._state, value))


class TaskByOperation(Task):
    """The same, one operation after the other, so that XLA can't optimize the step as a whole."""

    whole = False

    def repeat(self, count: int) -> None:
        """Run the step; each begins with the state of the one before."""
        with jax.disable_jit():
            super().repeat(count)


def product(side: int, dtype: str) -> Callable[[int], None]:
    """A function that multiplies two square matrices so many times."""
    one, other = (jax.random.normal(jax.random.key(seed), (side, side), dtype) for seed in range(2))
    multiply = jax.jit(jax.numpy.matmul)

    def repeat(count: int) -> None:
        jax.block_until_ready([multiply(one, other) for _ in range(count)][-1])

    return repeat
