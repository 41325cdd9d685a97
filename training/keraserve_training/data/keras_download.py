"""Keras' own downloads, in a process of their own.

In this process they would print to the user's terminal, hang for minutes on a network that swallows packets,
leave half a file in the cache when killed, and write to /tmp where KERAS_HOME can't be written. The other
process gets an empty KERAS_HOME; what it leaves there is checked by the caller before it is moved.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from keraserve_training.data.examples import Tell

_SILENCE_SECONDS = 20
_SECONDS = 900
_SECONDS_PHOTOGRAPHS = 3600
_CAREFULLY = f"import socket; socket.setdefaulttimeout({_SILENCE_SECONDS})\n"
_PROGRAM = _CAREFULLY + "from keras.datasets import fashion_mnist; fashion_mnist.load_data()"
_CIFAR_10 = _CAREFULLY + "from keras.datasets import cifar10; cifar10.load_data()"
_CIFAR_100 = _CAREFULLY + "from keras.datasets import cifar100; cifar100.load_data()"
_PHOTOGRAPHS = _CAREFULLY + "import keras; keras.utils.get_file({name!r}, {address!r})"
_WEIGHTS = _CAREFULLY + "import keras; keras.applications.{application}(**{options!r})"


def fashion_mnist(folder: Path, tell: Tell) -> bool:
    """Let `keras.datasets.fashion_mnist.load_data` fill `folder`; false where it could not."""
    tell("Fashion-MNIST: asking Keras to download it (30 MB, once)")
    return _run(_PROGRAM, folder, "datasets/fashion-mnist", _SECONDS)


def cifar10(folder: Path, tell: Tell) -> bool:
    """Let `keras.datasets.cifar10.load_data` fill `folder`; false where it could not."""
    tell("CIFAR-10: asking Keras to download it (170 MB, once)")
    return _run(_CIFAR_10, folder, "datasets/cifar-10-batches-py-target/cifar-10-batches-py", _SECONDS)


def cifar100(folder: Path, tell: Tell) -> bool:
    """Let `keras.datasets.cifar100.load_data` fill `folder`; false where it could not."""
    tell("CIFAR-100: asking Keras to download it (170 MB, once)")
    return _run(_CIFAR_100, folder, "datasets/cifar-100-python-target/cifar-100-python", _SECONDS)


def file(name: str, address: str, folder: Path) -> bool:
    """Let `keras.utils.get_file` put one large file into `folder`; false where it could not."""
    return _run(_PHOTOGRAPHS.format(name=name, address=address), folder, "datasets", _SECONDS_PHOTOGRAPHS)


def weights(application: str, size: int, width: Mapping[str, float], folder: Path, seconds: int) -> bool:
    """Let `keras.applications.<application>` put its ImageNet weights, without classifier, into `folder`.

    Args:
        application: name of the network there.
        size: pixels a side: some networks have several files.
        width: its `alpha`, where it has one.
        folder: to be filled.
        seconds: false when it takes longer, as where it could not.
    """
    shape = {"input_shape": (size, size, 3), "include_top": False, "weights": "imagenet", **width}
    return _run(_WEIGHTS.format(application=application, options=shape), folder, "models", seconds)


def _run(program: str, folder: Path, result: str, seconds: int) -> bool:
    """Run a Python program and move what it left in `folder/result` to `folder`."""
    environment = {
        **os.environ,
        "KERAS_HOME": str(folder),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode:
        return False
    for path in (folder / result).iterdir():
        path.replace(folder / path.name)
    return True
