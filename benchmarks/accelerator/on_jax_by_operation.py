"""A step by Keras on JAX without XLA's view of the whole: see what that brings."""

from accelerator.on_jax import TaskByOperation as Task
from accelerator.on_jax import device, held, precision, product, version

__all__ = ["Task", "device", "held", "precision", "product", "version"]
