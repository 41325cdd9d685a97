"""A step by Keras on JAX, one operation after the other, to see what compilation gains."""

from accelerator.on_jax import TaskByOperation as Task
from accelerator.on_jax import device, held, precision, product, version

__all__ = ["Task", "device", "held", "precision", "product", "version"]
