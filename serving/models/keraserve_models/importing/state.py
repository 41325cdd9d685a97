"""What a model uses and has to be saved with it, as TensorFlow's own objects."""

from collections.abc import Iterator
from typing import Any

import tensorflow as tf


def of(model: Any) -> list[Any]:
    """The variables and lookup tables of a model of Keras 3 or `tf_keras`.

    A Keras model can be saved too, but a session, which model servers load it with, finds no variables then.
    """
    variables = [one if isinstance(one, tf.Variable) else one.value for one in model.variables]
    return [*variables, *_tables(model, set())]


def _tables(layer: Any, seen: set[int]) -> Iterator[Any]:
    """The lookup tables of a layer and of all that it is made of."""
    if id(layer) in seen:
        return
    seen.add(id(layer))
    for value in vars(layer).values():
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, tf.lookup.StaticHashTable | tf.lookup.experimental.MutableHashTable):
                yield each
            elif hasattr(each, "get_config") and hasattr(each, "__dict__"):
                yield from _tables(each, seen)
