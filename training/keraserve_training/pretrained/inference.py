"""Run a frozen network as fast as possible.

On processors, as many small batches run at a time as there are cores, each in one thread: none waits for
another thread's part of an operation. On a GPU, one large batch runs after the other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from keraserve_training import runtime
from keraserve_training.learning.feed import evaluation_batch
from keraserve_training.pretrained import bfloat16, folding

_PARTS = 3  # of a batch, each a call of its own on processors


@dataclass(frozen=True)
class Inference:
    """A network that is ready to run.

    Attributes:
        run: images (float32 tensor [b, *shape]) to their features; any thread may call it.
        batch: the best number of images for a call.
        at_once: the best number of calls at a time.
    """

    run: Callable[[Any], npt.NDArray[Any]]
    batch: int
    at_once: int


def batch(shape: tuple[int, ...]) -> int:
    """The number of images of `shape` in a batch: one call on a GPU, three on processors."""
    return _PARTS * max(1, evaluation_batch(shape) // _PARTS)


def prepared(model: keras.Model, dtype: str, batch: int) -> Inference:
    """Make a network ready to run. The number of processors does not change its results.

    Args:
        model: images to features; its BatchNormalizations are folded if possible.
        dtype: `float32` or `bfloat16`, of the computation and the results.
        batch: images in a batch, which is divided into calls.
    """
    model = folding.folded(model)
    if dtype == "bfloat16":
        model = bfloat16.converted(model)
    function = tf.function(lambda images: model(images, training=False), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((None, *model.input_shape[1:]), tf.float32))
    given = None if _on_gpu() else _captured(concrete.graph)
    if given is None:
        return Inference(lambda images: function(images).numpy(), batch, 1)
    calls = math.gcd(batch, _PARTS)  # one if the batch can't be divided
    return Inference(_single_threaded(concrete, given), batch // calls, runtime.processors())


def _single_threaded(function: Any, given: dict[str, npt.NDArray[Any]]) -> Callable[[Any], npt.NDArray[Any]]:
    """The same in a session, in which each operation runs in the caller's thread (see `runtime.prepare`).

    Weights are passed with each call, without a copy. As constants they need twenty times their memory.
    """
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(function.graph.as_graph_def(), name="")
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=-1)
    session = tf.compat.v1.Session(graph=graph, config=config)
    options = config_pb2.CallableOptions(
        feed=[function.inputs[0].name, *given], fetch=[function.outputs[0].name]
    )
    # Session.run has an overhead of a third of an image's time in each call.
    run, weights = session._make_callable_from_options(options), tuple(given.values())
    return lambda images: run(np.asarray(images), *weights)[0]


def _captured(graph: Any) -> dict[str, npt.NDArray[Any]] | None:
    """The values that a function's graph captures, by the names of the tensors that take them.

    None if an operation other than a read takes a variable, such as a function inside of the function.
    """
    values: dict[str, npt.NDArray[Any]] = {}
    for outside, inside in graph.captures:
        if inside.dtype != tf.resource:
            values[inside.name] = np.asarray(outside)
            continue
        for taker in inside.consumers():
            if taker.type != "ReadVariableOp":
                return None
            value = tf.raw_ops.ReadVariableOp(resource=outside, dtype=taker.outputs[0].dtype)
            values[taker.outputs[0].name] = np.asarray(value)
    return values


def _on_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))
