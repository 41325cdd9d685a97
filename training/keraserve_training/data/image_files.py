"""Images in encoded files, read, decoded and resized while a network works.

Decoding and resizing are those of the exported model (`preprocessing`), so a network gets the same pixels in
training as when it is served.
"""

import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from keraserve_training import runtime
from keraserve_training.data import prepared, reduced
from keraserve_training.data.examples import Indices, Shown, Tell, prefetched
from keraserve_training.data.images import Images
from keraserve_training.errors import DataUnavailableError

SHOWN_SIDE = 400  # pixels: more than a page has for one image of nine
_SHOWN_AT_ONCE = 32  # of these, which need 16 MB, are remembered: a gallery takes pixels and sizes
_LOADED_BYTES = 2 * 2**30  # larger data sets are not loaded into memory
_LOADED_BATCH = 256
_READERS = 8  # threads that read and hash: more than processors, since they wait for the disk
_READ_AT_ONCE = 64  # files that one of them takes at a time

_Key = tuple[str, int, int]  # a file at the time when it was read: path, bytes, time of its last change
_NOT_THERE: _Key = ("", 0, 0)
_NAMELESS = "This image"
# What this process has found out about files
_digests: dict[_Key, bytes] = {}
_small: dict[_Key, bytes | None] = {_NOT_THERE: None}  # `reduced.grey` of each; None: it can't be decoded


@dataclass(frozen=True, eq=False)
class ImageFiles(Shown):
    """Images in files, with their classes.

    Attributes:
        files: of the formats of `keraserve_protocol.image_formats`, in any size up to its MAX_PIXELS.
        labels: int32 [N], the class of each image.
        size: height and width that the network gets; None: not set yet, so there are no batches.
        channels: 3 for colour, 1 for grey, whatever the files have.
        root: the folder that all of them lie in.
        groups: see `Examples`.
        copies: a folder for decoded copies of large files, see `prepared`; None: each is decoded every time.
    """

    files: tuple[Path, ...]
    labels: npt.NDArray[np.int32]
    size: tuple[int, int] | None = None
    channels: int = 3
    root: Path = Path()
    groups: Indices | None = None
    copies: Path | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, as the network gets it."""
        if self.size is None:
            raise ValueError(f"the images in {self.root} have many sizes: say which one with sized()")
        return (*self.size, self.channels)

    def select(self, indices: Indices) -> Self:
        """Those at `indices`, in that order."""
        files = tuple(self.files[index] for index in indices)
        return replace(self, files=files, labels=self.labels[indices], groups=self.groups_of(indices))

    def sized(self, size: int | None) -> Self:
        """The same for a network that takes `size` by `size` pixels; None: not set."""
        return replace(self, size=None if size is None else (size, size))

    def show(self, indices: Indices) -> list[npt.NDArray[np.uint8]]:
        """The images upright, at most SHOWN_SIDE pixels a side, each uint8 [h, w, 1 or 3]."""
        return [_decoded(_key(self.files[index]), self.files[index])[0] for index in indices]

    def sizes(self, indices: Indices) -> list[tuple[int, int]]:
        """Height and width of the images as people see them: upright."""
        return [_decoded(_key(self.files[index]), self.files[index])[1] for index in indices]

    def digest(self) -> str:
        """SHA-256 of every file's bytes, the labels and the size, but not of the files' names."""
        digest = hashlib.sha256(b"".join(digests(self.files)))
        digest.update(np.ascontiguousarray(self.labels, "<i4").data)
        digest.update(f"{self.size} {self.channels}".encode())
        return digest.hexdigest()

    def batches(self, order: Indices, batch: int) -> Any:
        """The images at `order`, in that order, as float32 [b, *shape] (0 to 255) and int32 [b].

        Raises (while it is read):
            tf.errors.OpError: a file is gone, or can't be decoded; names it.
        """
        import tensorflow as tf

        from keraserve_models.preprocessing import decoders
        from keraserve_models.preprocessing.decoding import Preparation

        shape = self.shape
        prepare = Preparation((shape[0], shape[1]), self.channels)
        files = tuple(self.files[index] for index in order)
        names = tf.constant([os.fsencode(file) for file in files], tf.string)

        def decoded(name: Any) -> Any:
            return prepare.of_file(*decoders.decode(tf.io.read_file(name), name))

        kept = self._copies(files)
        image_of = prepared.graph(kept[0], decoded) if kept else lambda name, _: decoded(name)
        places = tf.constant(kept[1] if kept else [b""] * len(files), tf.string)

        def read(name: Any, place: Any, label: Any) -> tuple[Any, Any]:
            return tf.ensure_shape(image_of(name, place), shape), label

        images = tf.data.Dataset.from_tensor_slices((names, places, self.labels[order]))
        images = images.map(read, num_parallel_calls=runtime.processors(), deterministic=True)
        return prefetched(images.batch(batch), shape, batch)

    def _copies(self, files: Sequence[Path]) -> tuple[prepared.Copies, list[bytes]] | None:
        """The copies, and where that of each file is; None if no file has one."""
        if self.copies is None:
            return None
        copies = prepared.Copies(self.copies, self.shape)
        places = prepared.places(copies, files, lambda: digests(files))
        return (copies, places) if any(places) else None

    def loaded(self, tell: Tell) -> "Images | ImageFiles":
        """The same in memory, at `size`; `self` if they would need more than 2 GiB."""
        if len(self) * int(np.prod(self.shape)) * 4 > _LOADED_BYTES:
            return self
        if len(self) >= 10 * _LOADED_BATCH:
            tell(f"reading {len(self):,} images of {self.root} into memory")
        parts = [_compact(images.numpy()) for images, _ in self.batches(np.arange(len(self)), _LOADED_BATCH)]
        return Images(np.concatenate(parts), self.labels, groups=self.groups)


@functools.lru_cache(maxsize=_SHOWN_AT_ONCE)
def _decoded(_: _Key, file: Path) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """An image upright, at most SHOWN_SIDE pixels a side; and its height and width before it was reduced."""
    image, size = _decoder()(os.fsencode(file))
    height, width = size.numpy()
    return image.numpy(), (int(height), int(width))


@functools.cache
def _decoder() -> Any:
    import tensorflow as tf

    from keraserve_models.preprocessing import decoders, decoding

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    def shown(name: Any) -> tuple[Any, Any]:
        pixels, orientation = decoders.decode(tf.io.read_file(name), name)
        small = decoding.upright(decoding.within(pixels, SHOWN_SIDE), orientation)
        size = tf.shape(pixels)[:2]
        return small, tf.where(decoding.on_its_side(orientation), size[::-1], size)

    return shown


def decodable(files: Sequence[Path]) -> npt.NDArray[np.bool_]:
    """Whether the exported model can decode each file; bool [N]. A process tries a file once."""
    return np.array([each is not None for each in _tried(files)], np.bool_)


def greys(files: Sequence[Path]) -> npt.NDArray[np.uint8]:
    """A small copy of each image without colours, upright, as it was decoded by `decodable`.

    Returns:
        uint8 [N, reduced.SIDE, reduced.SIDE]; black for files that can't be decoded.
    """
    black = bytes(reduced.SIDE**2)
    return np.frombuffer(b"".join(each or black for each in _tried(files)), np.uint8).reshape(
        -1, reduced.SIDE, reduced.SIDE
    )


def digests(files: Sequence[Path]) -> list[bytes]:
    """The SHA-256 of the bytes of each file; a process reads a file again only if it has changed.

    Raises:
        DataUnavailableError: one can't be read any more.
    """
    parts = [files[start : start + _READ_AT_ONCE] for start in range(0, len(files), _READ_AT_ONCE)]
    with ThreadPoolExecutor(_READERS) as threads:
        found = threads.map(lambda part: [_digests.get(_key(file)) or _hashed(file) for file in part], parts)
        return [digest for part in found for digest in part]


def spoilt() -> list[Path]:
    """The files that this process could decode, and that are gone or damaged now."""
    were_good = {Path(name): (name, size, time) for (name, size, time), small in _small.items() if small}
    changed = [file for file, key in were_good.items() if _key(file) != key]
    return [file for file, good in zip(changed, decodable(changed), strict=True) if not good]


def why_not(file: Path) -> str | None:
    """The message with which the exported model rejects a file, without its name.

    None if the file can't be read, or the decoder fails without a message of ours.
    """
    import tensorflow as tf

    from keraserve_models.preprocessing import decoders

    try:
        decoders.decode(tf.constant(file.read_bytes()), _NAMELESS)
    except OSError:
        return None
    except tf.errors.InvalidArgumentError as error:
        told = re.search(rf"{_NAMELESS} ([^\]']*)", error.message)
        return told[1] if told else None
    return None


def _tried(files: Sequence[Path]) -> list[bytes | None]:
    """What `_small` holds of each file, which is decoded if this process has not done so before."""
    keys = [_key(file) for file in files]
    new = [index for index, key in enumerate(keys) if key not in _small]
    _small.update((keys[index], None) for index in new)
    for place, grey in reduced.mapped([files[index] for index in new], reduced.grey):
        _small[keys[new[place]]] = grey.tobytes()
    return [_small[key] for key in keys]


def _hashed(file: Path) -> bytes:
    key = _key(file)
    with readable(file):
        _digests[key] = hashlib.sha256(file.read_bytes()).digest()
    return _digests[key]


@contextlib.contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn an OSError inside into a DataUnavailableError that names the file."""
    try:
        yield
    except OSError as error:
        raise DataUnavailableError(
            f"{file} can't be read any more ({error.strerror}): start again with the images that are there."
        ) from error


def _key(file: Path) -> _Key:
    """Identifies a file's content; `_NOT_THERE` if there is no such file."""
    try:
        about = file.stat()
    except OSError:
        return _NOT_THERE
    return str(file), about.st_size, about.st_mtime_ns


def _compact(images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """As uint8 if that changes no value: if nothing was resized."""
    rounded = images.astype(np.uint8)
    return rounded if np.array_equal(rounded, images) else images
