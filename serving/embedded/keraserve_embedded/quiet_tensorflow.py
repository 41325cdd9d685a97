"""The only module that imports TensorFlow, without its log lines, and functions that configure it."""

import ctypes
import logging
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from keraserve_protocol.quiet_import import closed_stderr, permanent_imports

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


with closed_stderr(), permanent_imports(), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow as tf
    from tensorflow.core.framework.tensor_pb2 import TensorProto as TensorFlowProto  # pyright: ignore
    from tensorflow.core.protobuf.config_pb2 import CallableOptions  # pyright: ignore
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel  # pyright: ignore
    from tensorflow.python.framework.function_def_to_graph import (  # pyright: ignore
        function_def_to_graph_def as function_to_graph,
    )

tf.get_logger().setLevel(logging.ERROR)

_BFLOAT16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}  # in /proc/cpuinfo, of x86 and of Arm


def set_threads(intra_op: int, inter_op: int) -> None:
    """Set how many threads share one op, and how many ops run at once; 0 leaves it to TensorFlow.

    With an `inter_op` of -1 the calling thread runs all ops of a graph. Call it before a model is loaded.
    """
    tf.config.threading.set_intra_op_parallelism_threads(intra_op)
    tf.config.threading.set_inter_op_parallelism_threads(inter_op)


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether the processor is known to have instructions for bfloat16."""
    try:
        return not _BFLOAT16_INSTRUCTIONS.isdisjoint(cpuinfo.read_text(encoding="utf-8").split())
    except OSError:
        return False


def disable_xla() -> None:
    """Let XLA compile nothing more in this process, as TensorFlow Serving does unless it is told otherwise.

    What a model marks for compilation fails then, with "XLA compilation disabled". TensorFlow's Python has no
    such call; where its library does not offer the function, compilation stays possible.
    """
    for library in Path(tf.__file__).parent.glob("libtensorflow_cc.*"):
        with suppress(OSError, AttributeError):
            ctypes.CDLL(str(library))["_ZN10tensorflow21DisableXlaCompilationEv"]()


def session(graph: Any, *, optimized: bool = True, bfloat16: bool = False) -> Any:
    """Make a session for a graph, with the threads that were set.

    Args:
        graph: an empty `tf.Graph`.
        optimized: TensorFlow's graph optimizer (Grappler) processes each signature before its first run.
        bfloat16: it does, and lets convolutions and matrix products be computed in bfloat16.
    """
    threads = tf.config.threading
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=threads.get_intra_op_parallelism_threads(),
        inter_op_parallelism_threads=threads.get_inter_op_parallelism_threads(),
    )
    rewriting = config.graph_options.rewrite_options
    if bfloat16:
        rewriting.auto_mixed_precision_onednn_bfloat16 = rewriting.ON
    rewriting.disable_meta_optimizer = not (optimized or bfloat16)
    return tf.compat.v1.Session(graph=graph, config=config)


def has_gpu() -> bool:
    """Tell whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


__all__ = [
    "CallableOptions",
    "SavedModel",
    "TensorFlowProto",
    "disable_xla",
    "function_to_graph",
    "has_bfloat16",
    "has_gpu",
    "session",
    "set_threads",
    "tf",
]
