"""Images as a network gets them, kept on the disk: large files are decoded once, and not in every epoch.

A copy is the float32 values that decoding and resizing gave, bit for bit: resized pixels are no whole
numbers, so uint8 would be another image than the served one. Only images with four times as many pixels have
one: to decode others takes hardly longer than to read a copy.
"""

import contextlib
import functools
import hashlib
import os
import threading
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

MOST_BYTES = 8 * 2**30  # of one folder; more images are decoded each time
_TIMES = 4  # an image with so many times the pixels of its copy has one
_SMALL_BYTES = 2**14  # what is smaller takes a millisecond or two
_CHECKSUM_BYTES = 32
_ENDING = ".float32"


@dataclass(frozen=True)
class Copies:
    """The copies of one size in a folder. A missing, damaged or unwritable one means: decode the file.

    Attributes:
        folder: of the copies of all sizes.
        shape: of one, [height, width, channels].
    """

    folder: Path
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The size of one, without its checksum."""
        return 4 * int(np.prod(self.shape))

    def path(self, digest: bytes) -> Path:
        """Where the copy of a file with this SHA-256 is, as decoded by this version of the rules."""
        import tensorflow as tf

        from keraserve_models.preprocessing.decoding import RULES

        key = repr((digest.hex(), RULES, self.shape, tf.__version__)).encode()
        return self.folder / f"{hashlib.sha256(key).hexdigest()}{_ENDING}"

    def read(self, path: bytes) -> npt.NDArray[np.float32]:
        """A copy, float32 of the shape; an empty array [0] if there is none, or it is damaged."""
        try:
            content = Path(os.fsdecode(path)).read_bytes() if path else b""
        except OSError:
            content = b""
        values = memoryview(content)[_CHECKSUM_BYTES:]
        if len(values) != self.nbytes or hashlib.sha256(values).digest() != content[:_CHECKSUM_BYTES]:
            return np.zeros(0, np.float32)
        return np.frombuffer(values, np.float32)

    def write(self, path: bytes, file: bytes, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Keep a copy of `file`, if there is space for it; gives the image back.

        None is kept of a file that was changed since its digest was taken.
        """
        if path and self._is_of(path, file):
            place, values = Path(os.fsdecode(path)), image.tobytes()
            part = place.with_name(f".{os.getpid()}.{threading.get_ident()}.{place.name}")
            with contextlib.suppress(OSError):  # a full disk costs time, and no result
                try:
                    part.write_bytes(hashlib.sha256(values).digest() + values)
                    part.replace(place)
                finally:
                    part.unlink(missing_ok=True)
        return image

    def _is_of(self, path: bytes, file: bytes) -> bool:
        with contextlib.suppress(OSError):
            return (
                os.fsencode(self.path(hashlib.sha256(Path(os.fsdecode(file)).read_bytes()).digest())) == path
            )
        return False


def places(copies: Copies, files: Sequence[Path], digests: Callable[[], Sequence[bytes]]) -> list[bytes]:
    """The path of each file's copy; empty for small images, and for those that there is no space for.

    Args:
        copies: of one size.
        files: the images.
        digests: gives the SHA-256 of each; is called if one is large enough.
    """
    most = _TIMES * int(np.prod(copies.shape[:2]))
    large = [_pixels(file) > most for file in files]
    if not any(large):
        return [b""] * len(files)
    pairs = zip(digests(), large, strict=True)
    found = [copies.path(digest) if wanted else None for digest, wanted in pairs]
    with contextlib.suppress(OSError):
        copies.folder.mkdir(parents=True, exist_ok=True)
    kept = dict.fromkeys(place for place in found if place)
    new = [place for place in kept if not place.exists()]
    one = copies.nbytes + _CHECKSUM_BYTES
    beyond = set(new[_made_space(copies.folder, len(new) * one, kept) // one :])
    return [b"" if place is None or place in beyond else os.fsencode(place) for place in found]


def _made_space(folder: Path, wanted: int, keep: Collection[Path]) -> int:
    """Remove the oldest copies but those to `keep`, until `wanted` bytes fit; gives how many do."""
    there = [(each.stat().st_mtime, each.stat().st_size, each) for each in folder.glob(f"*{_ENDING}")]
    left = MOST_BYTES - sum(size for _, size, _ in there)
    for _, size, each in sorted(there):
        if left >= wanted:
            break
        if each not in keep:
            each.unlink(missing_ok=True)
            left += size
    return max(0, left)


def _pixels(file: Path) -> int:
    """Of an image, from its header; 0 if that can't be read, or if the file is small."""
    try:
        about = file.stat()
    except OSError:
        return 0
    return _header(str(file), about.st_mtime_ns) if about.st_size >= _SMALL_BYTES else 0


@functools.lru_cache(maxsize=2**17)
def _header(file: str, _: int) -> int:
    with contextlib.suppress(Exception), warnings.catch_warnings():  # Pillow raises many kinds
        warnings.simplefilter("ignore")
        with Image.open(file) as image:
            return image.width * image.height
    return 0


def graph(copies: Copies, decoded: Any) -> Any:
    """A function of a file's name and its copy's path (string []) to its copy, or to what `decoded` gives."""
    import tensorflow as tf

    def read(name: Any, place: Any) -> Any:
        def decode() -> Any:
            image = tf.numpy_function(copies.write, [place, name, decoded(name)], tf.float32)
            return tf.reshape(image, copies.shape)

        copy = tf.numpy_function(copies.read, [place], tf.float32)
        return tf.cond(tf.size(copy) > 0, lambda: tf.reshape(copy, copies.shape), decode)

    return read
