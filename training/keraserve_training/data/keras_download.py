"""Keras' own downloads, in another process.

In this process they would print to the user's terminal, hang for minutes on a network that drops packets,
leave half a file in the cache when killed, and write to /tmp if KERAS_HOME can't be written. The other
process gets an empty KERAS_HOME; the caller checks what it leaves there before it moves it.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from keraserve_training.data.cache import Fill
from keraserve_training.data.examples import Tell

_SILENCE_SECONDS = 20
_SECONDS = 900
_SECONDS_PHOTOGRAPHS = 3600
_CAREFULLY = f"import socket; socket.setdefaulttimeout({_SILENCE_SECONDS})\n"
_DATASET = _CAREFULLY + "from keras.datasets import {module}; {module}.load_data()"
_PHOTOGRAPHS = _CAREFULLY + "import keras; keras.utils.get_file({name!r}, {address!r})"
_WEIGHTS = _CAREFULLY + "import keras; keras.applications.{application}(**{options!r})"


def dataset(name: str, module: str, result: str, size: str) -> Fill:
    """A way for `cache.Cached.load` to get a data set of Keras.

    Args:
        name: of the data set, for people.
        module: of `keras.datasets`, whose `load_data` downloads it.
        result: the folder that it fills, below Keras' folder `datasets`.
        size: of the download, for people.
    """

    def fill(own: Path, tell: Tell) -> bool:
        tell(f"{name}: trying Keras' download ({size}, once)")
        return _run(_DATASET.format(module=module), own, f"datasets/{result}", _SECONDS)

    return fill


def file(name: str, address: str, folder: Path) -> bool:
    """Let `keras.utils.get_file` put one large file into `folder`; False if it could not."""
    return _run(_PHOTOGRAPHS.format(name=name, address=address), folder, "datasets", _SECONDS_PHOTOGRAPHS)


def weights(application: str, size: int, width: Mapping[str, float], folder: Path, seconds: int) -> bool:
    """Let `keras.applications.<application>` put its ImageNet weights, without classifier, into `folder`.

    Args:
        application: name of the network there.
        size: pixels a side: some networks have several files.
        width: its `alpha`, where it has one.
        folder: an empty one.
        seconds: the longest time that it may take.

    Returns:
        False if it could not.
    """
    shape = {"input_shape": (size, size, 3), "include_top": False, "weights": "imagenet", **width}
    return _run(_WEIGHTS.format(application=application, options=shape), folder, "models", seconds)


def _run(program: str, folder: Path, result: str, seconds: int) -> bool:
    """Run a Python program and move what it left in `folder/result` to `folder`."""
    own = {"KERAS_HOME": str(folder), "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command, environment = [sys.executable, "-c", program], os.environ | own
    try:
        subprocess.run(command, env=environment, capture_output=True, timeout=seconds, check=True)
    except subprocess.SubprocessError:
        return False
    for path in (folder / result).iterdir():
        path.replace(folder / path.name)
    return True
