"""A frozen network as it computes fastest where it only looks at pictures.

On processors as many batches at a time as there are cores, each by one thread: none waits for another's part
of an operation, and a small batch stays in its core's cache. On a GPU one large batch after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from keraserve_training import runtime
from keraserve_training.learning.feed import evaluation_batch
from keraserve_training.pretrained import bfloat16, folding

_CORE_SHARE = 3  # of what fills the memory in an evaluation, a core's batch is this part


@dataclass(frozen=True)
class Inference:
    """A network that is ready to look.

    Attributes:
        look: a batch of pictures (float32 tensor [b, *shape]) to its features; any thread may call it.
        at_once: how many calls at a time the machine is best used by.
    """

    look: Callable[[Any], npt.NDArray[Any]]
    at_once: int


def batch(shape: tuple[int, ...]) -> int:
    """How many pictures of `shape` a call takes best."""
    most = evaluation_batch(shape)
    return most if _on_gpu() else max(1, most // _CORE_SHARE)


def prepared(model: keras.Model, dtype: str) -> Inference:
    """Make a network ready. On processors what it gives does not depend on how many there are.

    Args:
        model: pictures to features; folded where that can be done.
        dtype: `float32` or `bfloat16`, what it computes in and gives.
    """
    model = folding.folded(model)
    if dtype == "bfloat16":
        model = bfloat16.converted(model)
    function = tf.function(lambda pictures: model(pictures, training=False), autograph=False)
    if _on_gpu():
        return Inference(lambda pictures: function(pictures).numpy(), 1)
    return Inference(_single_threaded(function, model), runtime.processors())


def _single_threaded(function: Any, model: keras.Model) -> Callable[[Any], npt.NDArray[Any]]:
    """The same in a session, where each operation has one thread (see `runtime.prepare`): the caller's."""
    spec = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(spec), lower_control_flow=False)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(frozen.graph.as_graph_def(), name="")
    config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=-1)
    session = tf.compat.v1.Session(graph=graph, config=config)
    # Session.run would take as long before each call as the network for a third of a picture.
    options = config_pb2.CallableOptions(feed=[frozen.inputs[0].name], fetch=[frozen.outputs[0].name])
    run = session._make_callable_from_options(options)
    return lambda pictures: run(np.asarray(pictures))[0]


def _on_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))
