"""Encoded images from paths, bytes, arrays and PIL images.

Files and bytes are sent as they are, undecoded; arrays and PIL images become PNG, without loss.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from keraserve_client import _pil
from keraserve_client._errors import InvalidInput
from keraserve_client._pil import PilImage
from keraserve_protocol import image_formats

Image = str | os.PathLike[str] | bytes | bytearray | memoryview | npt.NDArray[Any] | PilImage
"""A path, an encoded image's bytes, a uint8 array [H,W], [H,W,1], [H,W,3] or [H,W,4], or a PIL image.

The model sees it upright, as EXIF says, and on white where it is transparent, whichever form it has.
"""
Images = Image | Sequence[Image]

_PNG_COLOUR = {1: 0, 3: 2, 4: 6}  # channels: PNG's colour type
_NO_FORMAT = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An encoded image, and the file's name if it came from a file."""

    data: bytes
    filename: str | None = None

    @property
    def media_type(self) -> str:
        """The type by the first bytes."""
        listed = image_formats.find(self.data)
        return listed.media_types[0] if listed else _NO_FORMAT


def load(images: Images) -> list[EncodedImage]:
    """Read and encode one image or a list of images.

    Raises:
        InvalidInput: something is no image; the message says which.
        OSError: a file that can't be read.
    """
    if isinstance(images, list | tuple):
        return [load_one(image, f"image {index}: ") for index, image in enumerate(images)]
    return [load_one(images)]


def is_one(images: object) -> bool:
    """Tell a single image from an iterable of images."""
    if isinstance(images, np.ndarray):
        return cast(npt.NDArray[Any], images).ndim < 4
    return isinstance(images, str | os.PathLike | bytes | bytearray | memoryview | PilImage)


def name_of(image: object) -> str | None:
    """Return the last part of a path; None for what is no path."""
    if isinstance(image, str | os.PathLike):
        return Path(cast("str | os.PathLike[str]", image)).name
    return None


def load_one(image: object, where: str = "") -> EncodedImage:
    """Read and encode one image; errors begin with `where`."""
    if isinstance(image, str | os.PathLike):
        path = Path(cast("str | os.PathLike[str]", image))
        return EncodedImage(path.read_bytes(), path.name)
    if isinstance(image, bytes | bytearray | memoryview):
        return EncodedImage(bytes(cast("bytes | bytearray | memoryview", image)))
    if isinstance(image, np.ndarray):
        return EncodedImage(_png(cast(npt.NDArray[Any], image), where))
    if isinstance(image, PilImage):
        return EncodedImage(_pil.encode(image, where))
    raise InvalidInput(f"{where}a {type(image).__name__} is no path, bytes, array or PIL image")


def _png(array: npt.NDArray[Any], where: str) -> bytes:
    """Encode by the PNG specification (W3C, third edition): filter 0 before each row, one IDAT chunk."""
    if array.dtype != np.uint8:
        raise InvalidInput(
            f"{where}the array holds {array.dtype}; images are uint8, 0 to 255: scale and cast it to that"
        )
    if np.ma.is_masked(array):
        raise InvalidInput(f"{where}the array has masked pixels; fill them first (`array.filled(…)`)")
    pixels = array[..., np.newaxis] if array.ndim == 2 else array
    if pixels.ndim != 3 or pixels.shape[2] not in _PNG_COLOUR or 0 in pixels.shape:
        several = "; give several images as a list" if array.ndim == 4 else ""
        raise InvalidInput(f"{where}an array of shape {list(array.shape)} is no image{several}")
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _PNG_COLOUR[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
