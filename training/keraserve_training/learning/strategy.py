"""Training on several devices of one machine at once: what Keras leaves to its caller.

Under `tf.distribute.MirroredStrategy` every device has a copy of the network, gets its part of each batch,
and the gradients are averaged. Keras averages the devices' means, which is the mean of the batch only where
all parts have the same size. So each batch is padded to a multiple of the devices with examples of weight
0, and the others get a weight that compensates for it: a step gives what it gives on one device, up to
rounding. Two kinds of layers still differ: a BatchNormalization that learns gets its device's part of the
batch only, and a random layer draws separately for every part.
"""

from typing import Any

import tensorflow as tf


def devices(model: Any) -> int:
    """On how many devices a model is trained: 1 without a strategy."""
    return model.distribute_strategy.num_replicas_in_sync


def compile_arguments(model: Any, *, metrics: list[Any], steps_per_execution: int) -> dict[str, Any]:
    """Arguments for `compile`: on several devices examples have weights, which the metrics have to use.

    There, several steps in one call fail in Keras (keras issue 19246, open), so each call is one step.
    """
    if devices(model) == 1:
        return {"metrics": metrics, "steps_per_execution": steps_per_execution}
    return {"weighted_metrics": metrics, "steps_per_execution": 1}


def evaluate(model: Any, batches: Any, *, examples: int, batch: int) -> dict[str, float]:
    """What `model.evaluate` returns. That fails on several devices unless they divide the first batch evenly.

    Args:
        model: built in the strategy's scope, and compiled.
        batches: a `tf.data.Dataset` of inputs [b, ...] and targets [b, ...].
        examples: in all batches.
        batch: examples in each batch but the last.
    """
    count = devices(model)
    if count > 1:
        full, rest = divmod(examples, batch)
        filled = count * (full * -(-batch // count) + -(-rest // count))
        batches = divided(model, batches, weight=filled / examples)
    return model.evaluate(batches, verbose=0, return_dict=True)


def divided(model: Any, batches: Any, *, weight: float | None = None) -> Any:
    """Batches for `fit`, divided between the model's devices; as they are where it has one.

    `predict` works without this. The figures that `fit` gives of an epoch include the padding of its last
    batch.

    Args:
        model: built in the strategy's scope.
        batches: a `tf.data.Dataset` of inputs [b, ...] and targets [b, ...], in the order of one device.
        weight: of each example that is not padding; None: so that every batch has its own mean.

    Returns:
        The same batches in the same order, and on several devices the weights of the examples with them;
        device i gets the i-th part of each.
    """
    count = devices(model)
    if count == 1:
        return batches

    def divide(inputs: Any, targets: Any) -> tuple[Any, Any, Any]:
        size: Any = tf.shape(inputs)[0]
        places = tf.range(-(-size // count) * count)
        taken = tf.minimum(places, size - 1)
        mean = tf.cast(tf.size(places) / size if weight is None else weight, tf.float32)
        # Keras wants weights shaped like the loss: with every axis of the targets but the last.
        shape = [-1] + [1] * (targets.shape.rank - 2)
        weights = tf.reshape(tf.where(places < size, mean, 0.0), shape)
        whole = tf.gather(inputs, taken), tf.gather(targets, taken), weights
        inputs, targets, weights = (_parts(each, count) for each in whole)
        return inputs, targets, weights

    parts = batches.map(divide).unbatch().prefetch(2 * count)
    distributed = model.distribute_strategy.distribute_datasets_from_function(lambda _: parts)
    distributed._cardinality = batches.cardinality()  # else Keras warns of an end that it did not foresee
    return distributed


def _parts(values: Any, count: int) -> Any:
    """[n, ...] as [count, n / count, ...]."""
    return tf.reshape(values, tf.concat([[count, -1], tf.shape(values)[1:]], axis=0))
