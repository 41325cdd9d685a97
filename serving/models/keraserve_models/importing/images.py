"""The images that a version is compared on, and that scalings are tried with, as decoded pixels."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keraserve_models import drawn_images
from keraserve_models.errors import ImportRejected
from keraserve_models.importing.findings import ImageFindings
from keraserve_models.preprocessing.decoding import Preparation, decode
from keraserve_protocol.signatures import IMAGE_BYTES

_DRAWN = 8
_AT_ONCE = 8


def drawn(found: ImageFindings) -> list[bytes]:
    """Encoded images made on the spot."""
    images, _ = drawn_images.images(_DRAWN, classes=_DRAWN, size=found.size, channels=found.channels, seed=1)
    return [tf.io.encode_png(image).numpy() for image in images]


def read(files: Sequence[Path], found: ImageFindings) -> list[bytes]:
    """Read image files.

    Raises:
        ImportRejected: one of them can't be decoded.
    """
    contents = [file.read_bytes() for file in files]
    for file, content in zip(files, contents, strict=True):
        try:
            pixels([content], found)
        except tf.errors.InvalidArgumentError as error:
            raise ImportRejected(f"{file} can't be decoded: {_sentence(error)}") from error
    return contents


def labelled(
    files: Sequence[Path], labels: Sequence[str], found: ImageFindings
) -> Iterator[tuple[npt.NDArray[Any], list[int]]]:
    """The pixels of files that lie in a folder of their class, a few at a time, and their classes."""
    places = {label: place for place, label in enumerate(labels)}
    known = [file for file in files if file.parent.name in places]
    for begin in range(0, len(known), _AT_ONCE):
        some = known[begin : begin + _AT_ONCE]
        yield pixels(read(some, found), found), [places[file.parent.name] for file in some]


def pixels(encoded: Sequence[bytes], found: ImageFindings) -> npt.NDArray[Any]:
    """Decode images to float32 [N, height, width, channels], 0 to 255."""
    shape = (*found.size, found.channels)
    images = tf.constant(list(encoded), tf.string)
    return np.asarray(
        decode(images, IMAGE_BYTES, Preparation(found.size, found.channels, found.cropped), shape)
    )


def _sentence(error: tf.errors.OpError) -> str:
    """What the graph says, without the operations that TensorFlow puts around it."""
    message = " ".join(str(error.message).splitlines()[0].split())
    said = re.search(r"b'image_bytes\[0\] (.*)'$", message)  # by an assertion
    return (said[1] if said else message)[:200]
