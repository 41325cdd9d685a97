"""Keras' own downloads, in a process of their own.

In this process they would print to the user's terminal, hang for minutes on a network that swallows packets,
leave half a file in the cache when killed, and write to /tmp where KERAS_HOME can't be written. The other
process gets an empty KERAS_HOME; what it leaves there is checked by the caller before it is moved.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_SILENCE_SECONDS = 20
_SECONDS = 900
_PROGRAM = (
    f"import socket; socket.setdefaulttimeout({_SILENCE_SECONDS})\n"
    "from keras.datasets import fashion_mnist; fashion_mnist.load_data()"
)


def fashion_mnist(folder: Path, tell: Callable[[str], None]) -> bool:
    """Let `keras.datasets.fashion_mnist.load_data` fill `folder`; false where it could not."""
    tell("Fashion-MNIST: asking Keras to download it (30 MB, once)")
    environment = {
        **os.environ,
        "KERAS_HOME": str(folder),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            env=environment,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode:
        return False
    for path in (folder / "datasets" / "fashion-mnist").iterdir():
        path.replace(folder / path.name)
    return True
