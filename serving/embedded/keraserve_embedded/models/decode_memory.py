"""A limit on the memory of images that are decoded at the same time: a small file may take a gigabyte.

The memory of an image is estimated from its header, before the graph runs; a run whose images don't fit waits
until others end. Strings that are no images count as 0.
"""

import heapq
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from google.protobuf.message import DecodeError

from keraserve_embedded.errors import TooLargeError
from keraserve_protocol import image_files
from keraserve_protocol.image_formats import find
from keraserve_protocol.memory_limit import mib
from keraserve_protocol.messages import Example
from keraserve_protocol.tensors import Array

MOST_BYTES_PER_PIXEL = 25
"""Of an image that may be transparent; 24.5 were measured for WebP, 21.3 for PNG."""
_BYTES_PER_PIXEL = {"jpeg": 4, "gif": 5}  # 3.9 and 4.2 were measured
_AT_ONCE = 10  # images of one run: so many iterations does `tf.map_fn` run at the same time


class DecodeMemory:
    """The bytes of the images that all threads decode at the same time.

    Attributes:
        limit: the most bytes together; None without limit.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._held = 0
        self._change = threading.Condition()
        self._turn = threading.Lock()  # first in, first out: small images don't overtake a large one

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Wait until `size` bytes are free, and occupy them within the context.

        Raises:
            TooLargeError: they exceed the limit.
        """
        limit = self.limit
        if not size or limit is None:
            yield
            return
        if size > limit:
            raise TooLargeError(
                f"its images take {mib(size)} to decode, which is larger than max_decoding_bytes,"
                f" {mib(limit)}: send fewer or smaller ones, or raise the model server's --max_decoding_bytes"
            )
        with self._turn, self._change:
            self._change.wait_for(lambda: self._held + size <= limit)
            self._held += size
        try:
            yield
        finally:
            with self._change:
                self._held -= size
                self._change.notify()


DECODE_MEMORY = DecodeMemory()
"""The one of this process; `HostedEngine` sets its limit."""


def estimate(arrays: Mapping[str, Array], *, of_examples: bool) -> int:
    """Estimate the bytes that the images among a signature's inputs take while they are decoded.

    Args:
        arrays: strings are `object` elements of type `bytes`; other dtypes hold no encoded image.
        of_examples: the strings are serialized `tf.Example`s.
    """
    strings = (value for array in arrays.values() if array.dtype == object for value in array.flat)
    files = (file for value in strings for file in _in_example(value)) if of_examples else strings
    return sum(heapq.nlargest(_AT_ONCE, map(_taken, files)))


def _in_example(value: bytes) -> Iterable[bytes]:
    try:
        features = Example.FromString(value).features.feature
    except DecodeError:
        return ()
    return (one for feature in features.values() for one in feature.bytes_list.value)


def _taken(file: bytes) -> int:
    if find(file) is None:  # `read` would take longer, to describe it in the error
        return 0
    try:
        header = image_files.read(file)
    except (image_files.BadImage, image_files.UnknownFormat):
        return 0
    return header.pixels * _BYTES_PER_PIXEL.get(header.format, MOST_BYTES_PER_PIXEL)
