"""TensorFlow, made quiet and repeatable. Whoever is about to import keras calls `prepare` first."""

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
    """Let this process use so many processor threads: for one of several that work side by side.

    TensorFlow looks when it is imported. With another number of threads, what learns rounds otherwise.
    """
    for pool in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[pool] = str(count)


def processors() -> int:
    """How many processor threads this process uses: what `threads` said, or all that it may."""
    said = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    if said.isdigit() and int(said) > 0:
        return int(said)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def prepare() -> None:
    """Import TensorFlow with its chatter off and its deterministic operations on."""
    # A session has threads of its own, as many as its options say; so has each device.
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
    """Where networks are built that learn on all GPUs of this machine (`mirrored`), or as usual (None).

    May be entered again inside itself. Without a GPU: on its logical processors, of which there is one unless
    TensorFlow was told otherwise.
    """
    return contextlib.nullcontext() if strategy is None else _mirrored().scope()


@functools.cache
def _mirrored() -> Any:
    """The one of this process: networks of different strategies can't be put together."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy()


@contextlib.contextmanager
def _interrupted_later() -> Iterator[None]:
    """Let Ctrl-C count at the end of the block: in the middle of an import it may be swallowed."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in what a shell runs in the background
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt
