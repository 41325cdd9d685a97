"""TensorFlow and Keras without what they write to stderr while they are imported."""

import functools
import os

from keraserve_protocol.quiet_import import closed_stderr, permanent_imports


@functools.cache
def prepare() -> None:
    """Import TensorFlow and Keras; whoever needs one of them later has it at once."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read by TensorFlow's C++ part when it is loaded
    os.environ["KERAS_BACKEND"] = "tensorflow"  # ~/.keras/keras.json may name another one
    with closed_stderr(), permanent_imports():
        import keras  # noqa: F401 (later imports of it are quick)
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
