"""TensorFlow, made quiet and repeatable. Whoever is about to import keras calls `prepare` first."""

import contextlib
import functools
import os
from collections.abc import Iterator


def one_thread() -> None:
    """Let this process use one processor thread: for one of several that work side by side.

    Counts only before TensorFlow is imported. With the number of threads, sums may round differently.
    """
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    os.environ["OMP_NUM_THREADS"] = "1"


@functools.cache
def prepare() -> None:
    """Import TensorFlow with its chatter off and its deterministic operations on."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # read by TensorFlow's C++ part when it is loaded
    os.environ["GRPC_VERBOSITY"] = "NONE"
    os.environ["KERAS_BACKEND"] = "tensorflow"  # ~/.keras/keras.json may name another one
    with _deaf():
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Drop what C++ code writes to stderr: while TensorFlow is loaded, no log level is in force yet."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
