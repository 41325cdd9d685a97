"""Images in encoded files, read, decoded and resized while a network works.

Decoding and resizing are those of the exported model (`exporting.decoders`, `decoding.Preparation`), so a
network sees in training what it will see when it is served.
"""

import functools
import hashlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from keraserve_training import runtime
from keraserve_training.data.examples import Indices, Shown, Tell, prefetched
from keraserve_training.data.images import Images
from keraserve_training.errors import DataUnavailableError

SHOWN_SIDE = 400  # pixels: more than a page shows of one among nine
_LOADED_BYTES = 2 * 2**30  # more is not taken into memory
_LOADED_BATCH = 256
_READERS = 8  # threads that read and hash: more than processors, since disks answer late
_READ_AT_ONCE = 64  # files that one of them takes at a time

_Key = tuple[str, int, int]  # a file as it was when this process looked: path, bytes, time of its last change
_digests: dict[_Key, bytes] = {}
_NOT_THERE = ("", 0, 0)
_NAMELESS = "This image"
_decodable: dict[_Key, bool] = {}


@dataclass(frozen=True, eq=False)
class ImageFiles(Shown):
    """Images in files, with their classes.

    Attributes:
        files: of the formats of `keraserve_protocol.image_formats`, in any size up to its MAX_PIXELS.
        labels: int32 [N], the class of each image.
        size: height and width that the network gets; None: not said yet, there are no batches before.
        channels: 3 for colour, 1 for grey, whatever the files have.
        root: the folder that all of them lie in.
    """

    files: tuple[Path, ...]
    labels: npt.NDArray[np.int32]
    size: tuple[int, int] | None = None
    channels: int = 3
    root: Path = Path()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one image, as the network gets it."""
        if self.size is None:
            raise ValueError(f"the images in {self.root} have many sizes: say which one with sized()")
        return (*self.size, self.channels)

    def select(self, indices: Indices) -> Self:
        """Those at `indices`, in that order."""
        files = tuple(self.files[index] for index in indices)
        return replace(self, files=files, labels=self.labels[indices])

    def relabelled(self, labels: npt.NDArray[np.int32]) -> Self:
        """The same images with other labels."""
        return replace(self, labels=labels)

    def sized(self, size: int | None) -> Self:
        """The same for a network that takes `size` by `size` pixels."""
        return replace(self, size=None if size is None else (size, size))

    def show(self, indices: Indices) -> list[npt.NDArray[np.uint8]]:
        """The images upright, at most SHOWN_SIDE pixels a side, each uint8 [h, w, 1 or 3]."""
        return [_looked_at(self.files[index])[0] for index in indices]

    def sizes(self, indices: Indices) -> list[tuple[int, int]]:
        """Height and width of the images as people see them: upright."""
        return [_looked_at(self.files[index])[1] for index in indices]

    def digest(self) -> str:
        """SHA-256 of every file's bytes, the labels and the size; not of names, nor of decoding."""
        digest = hashlib.sha256(b"".join(digests(self.files)))
        digest.update(np.ascontiguousarray(self.labels, "<i4").data)
        digest.update(f"{self.size} {self.channels}".encode())
        return digest.hexdigest()

    def batches(self, order: Indices, batch: int) -> Any:
        """The images at `order`, in that order, as float32 [b, *shape] (0 to 255) and int32 [b].

        Raises (while it is read):
            tf.errors.OpError: a file has gone, has been damaged since the folder was read, or can't be taken:
                names it.
        """
        import tensorflow as tf

        from keraserve_training.preprocessing import decoders
        from keraserve_training.preprocessing.decoding import Preparation

        shape = self.shape
        prepare = Preparation((shape[0], shape[1]), self.channels)
        names = tf.constant([os.fsencode(self.files[index]) for index in order], tf.string)

        def read(name: Any, label: Any) -> tuple[Any, Any]:
            image = prepare.of_file(*decoders.decode(tf.io.read_file(name), name))
            return tf.ensure_shape(image, shape), label

        images = tf.data.Dataset.from_tensor_slices((names, self.labels[order]))
        images = images.map(read, num_parallel_calls=runtime.processors(), deterministic=True)
        return prefetched(images.batch(batch), shape, batch)

    def loaded(self, tell: Tell) -> "Images | ImageFiles":
        """The same in memory, at the size that is wanted; `self` where they would need more than 2 GiB."""
        if len(self) * int(np.prod(self.shape)) * 4 > _LOADED_BYTES:
            return self
        if len(self) >= 10 * _LOADED_BATCH:
            tell(f"reading {len(self):,} images of {self.root} into memory")
        parts = [_smallest(images.numpy()) for images, _ in self.batches(np.arange(len(self)), _LOADED_BATCH)]
        return Images(np.concatenate(parts), self.labels)


def _looked_at(file: Path) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """An image as people see it, at most SHOWN_SIDE pixels a side; and its height and width before that."""
    image, size = _shown()(os.fsencode(file))
    height, width = size.numpy()
    return image.numpy(), (int(height), int(width))


@functools.cache
def _shown() -> Any:
    import tensorflow as tf

    from keraserve_training.preprocessing import decoders, decoding

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    def shown(name: Any) -> tuple[Any, Any]:
        pixels, orientation = decoders.decode(tf.io.read_file(name), name)
        small = decoding.upright(decoding.within(pixels, SHOWN_SIDE), orientation)
        size = tf.shape(pixels)[:2]
        return small, tf.where(decoding.on_its_side(orientation), size[::-1], size)

    return shown


def decodable(files: Sequence[Path]) -> npt.NDArray[np.bool_]:
    """Try whether the exported model would take each file; bool [N]. Tries a file once in a process."""
    keys = [_key(file) for file in files]
    _decodable[_NOT_THERE] = False
    new = [index for index, key in enumerate(keys) if key not in _decodable]
    good = _tried([files[index] for index in new])
    _decodable.update((keys[index], bool(each)) for index, each in zip(new, good, strict=True))
    return np.array([_decodable[key] for key in keys], np.bool_)


def digests(files: Sequence[Path]) -> list[bytes]:
    """The SHA-256 of the bytes of each file; from memory where the file has not changed since it was read.

    Raises:
        DataUnavailableError: one can't be read any more.
    """
    starts = range(0, len(files), _READ_AT_ONCE)
    with ThreadPoolExecutor(_READERS) as threads:
        parts = threads.map(_digests_of, (files[start : start + _READ_AT_ONCE] for start in starts))
        return [digest for part in parts for digest in part]


def spoilt() -> list[Path]:
    """The files that this process found good, and that have gone or have been damaged since."""
    were_good = {Path(name): (name, size, time) for (name, size, time), good in _decodable.items() if good}
    changed = [file for file, key in were_good.items() if _key(file) != key]
    return [file for file, good in zip(changed, decodable(changed), strict=True) if not good]


def why_not(file: Path) -> str | None:
    """The sentence with which the exported model rejects a file, without its name.

    None: the file can't be read, or its decoder has none.
    """
    import tensorflow as tf

    from keraserve_training.preprocessing import decoders

    try:
        decoders.decode(tf.constant(file.read_bytes()), _NAMELESS)
    except OSError:
        return None
    except tf.errors.InvalidArgumentError as error:
        told = re.search(rf"{_NAMELESS} ([^\]']*)", error.message)
        return told[1] if told else None
    return None


def _tried(files: Sequence[Path]) -> npt.NDArray[np.bool_]:
    """Decode all files, with all processors."""
    import tensorflow as tf

    from keraserve_training.preprocessing import decoders
    from keraserve_training.preprocessing.decoders import jpeg

    def tried(index: Any, name: Any) -> tuple[Any, Any]:
        content = tf.io.read_file(name)
        pixels = tf.cond(
            decoders.kinds(content) == decoders.JPEG,
            # An eighth of a JPEG's size spares half of the arithmetic, yet every byte of it is read.
            lambda: tf.ensure_shape(jpeg.reduced(content, name, 8), (None, None, None)),
            lambda: decoders.decode(content, name)[0],
        )
        # The number of values only since TensorFlow drops work that nobody asks for.
        return index, tf.size(pixels)

    names = tf.constant([os.fsencode(file) for file in files], tf.string)
    indices = tf.data.Dataset.from_tensor_slices((np.arange(len(files)), names))
    whole = indices.map(tried, num_parallel_calls=runtime.processors()).ignore_errors().batch(1024)
    good = np.zeros(len(files), np.bool_)
    for batch, _ in whole:
        good[batch.numpy()] = True
    return good


def _digests_of(files: Sequence[Path]) -> list[bytes]:
    return [_digests.get(_key(file)) or _hashed(file) for file in files]


def _hashed(file: Path) -> bytes:
    key = _key(file)
    try:
        _digests[key] = hashlib.sha256(file.read_bytes()).digest()
    except OSError as error:
        raise DataUnavailableError(
            f"{file} can't be read any more ({error.strerror}): start again with the images that are there."
        ) from error
    return _digests[key]


def _key(file: Path) -> _Key:
    """Another one when the file changes; the same for all files that are not there."""
    try:
        about = file.stat()
    except OSError:
        return _NOT_THERE
    return str(file), about.st_size, about.st_mtime_ns


def _smallest(images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """As uint8 where that changes no value: where nothing was resized."""
    rounded = images.astype(np.uint8)
    return rounded if np.array_equal(rounded, images) else images
