"""Import TensorFlow quiet and deterministic: `prepare` is called before any import of keras."""

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from keraserve_protocol.quiet_import import closed_stderr, permanent_imports


def threads(count: int) -> None:
    """Let this process use so many processor threads, as one of several processes.

    TensorFlow reads this when it is imported. Another number of threads rounds differently in training.
    """
    for pool in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[pool] = str(count)


def processors() -> int:
    """How many processor threads this process uses: what `threads` set, or all that it may."""
    limit = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        return int(limit)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def prepare() -> None:
    """Import TensorFlow without its log messages and with its deterministic operations."""
    # A session has its own threads, as many as its options say; so has each device.
    os.environ["TF_OVERRIDE_GLOBAL_THREADPOOL"] = "1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # read by TensorFlow's C++ part when it is loaded
    os.environ["GRPC_VERBOSITY"] = "NONE"
    os.environ["KERAS_BACKEND"] = "tensorflow"  # ~/.keras/keras.json may name another one
    with _interrupted_later(), closed_stderr(), permanent_imports():
        import keras  # noqa: F401 (later imports of it are quick)
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_op_determinism()


def scope(strategy: str | None) -> AbstractContextManager[Any]:
    """The scope to build networks in for all GPUs of this machine (`mirrored`), or as usual (None).

    May be entered again inside itself. Without a GPU: for its logical processors, of which there is one
    unless TensorFlow is configured otherwise.
    """
    return contextlib.nullcontext() if strategy is None else _mirrored().scope()


@functools.cache
def _mirrored() -> Any:
    """The only one of this process: networks of different strategies can't be joined."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy()


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Raise KeyboardInterrupt for Ctrl-C at the end of the block: an import may swallow it."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in a shell's background process
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt
