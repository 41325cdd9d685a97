"""Decode many image files once, no larger than needed: whether that works, and what they look like."""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keraserve_training import runtime

SIDE = 32  # pixels of `grey`: four times the frequencies that a perceptual hash compares
_RATIOS = (8, 4, 2, 1)  # by which libjpeg can reduce while it decodes
_AHEAD = 16


def mapped(files: Sequence[Path], function: Callable[[Any, Any], Any]) -> Iterator[tuple[int, Any]]:
    """Call a function of a file's content and name (string []), in TensorFlow's graph, with all processors.

    Returns:
        The number of each file, with the result as numpy arrays, in order; without those that it failed for.
    """
    if not files:
        return

    import tensorflow as tf

    graph = _traced(function)

    def called(index: Any, name: Any) -> tuple[Any, Any]:
        return index, graph(tf.io.read_file(name), name)

    names = tf.constant([os.fsencode(file) for file in files], tf.string)
    numbered = tf.data.Dataset.from_tensor_slices((np.arange(len(files)), names))
    results = numbered.map(called, num_parallel_calls=runtime.processors()).ignore_errors().prefetch(_AHEAD)
    for index, result in results.as_numpy_iterator():
        yield int(index), result


@functools.cache
def _traced(function: Callable[[Any, Any], Any]) -> Any:
    """The function's graph, which takes a second or two to make."""
    import tensorflow as tf

    text = tf.TensorSpec((), tf.string)
    return tf.function(function, (text, text), autograph=False)


def decoded(content: Any, name: Any, least: int) -> tuple[Any, Any, Any]:
    """Decode one image; a JPEG at a fraction of its size if that leaves `least` pixels a side.

    An eighth of a JPEG's size needs half of the arithmetic, yet every byte is read.

    Returns:
        The pixels as `decoders.decode` gives them; height and width of the file, int32 [2]; the orientation.

    Raises (in the graph):
        InvalidArgumentError: the exported model would reject the file.
    """
    import tensorflow as tf

    from keraserve_models.preprocessing import decoders
    from keraserve_models.preprocessing.decoders import jpeg

    def of_jpeg() -> tuple[Any, Any, Any]:
        size = tf.io.extract_jpeg_shape(content)[:2]
        ratios = [lambda ratio=ratio: jpeg.reduced(content, name, ratio) for ratio in _RATIOS]
        fits = tf.reduce_min(size) // tf.constant(_RATIOS) >= least
        place = tf.reduce_min(tf.where(fits, range(len(_RATIOS)), len(_RATIOS) - 1))
        pixels = tf.ensure_shape(tf.switch_case(place, ratios), (None, None, None))
        return pixels, size, jpeg.orientation(content)

    def of_others() -> tuple[Any, Any, Any]:
        pixels, orientation = decoders.decode(content, name)
        return pixels, tf.shape(pixels)[:2], orientation

    return tf.cond(decoders.kinds(content) == decoders.JPEG, of_jpeg, of_others)


def grey(content: Any, name: Any) -> Any:
    """One image without colours, upright, uint8 [SIDE, SIDE]. Raises as `decoded`."""
    pixels, _, orientation = decoded(content, name, 2 * SIDE)
    return small(pixels, orientation)


def small(pixels: Any, orientation: Any) -> Any:
    """Pixels of `decoded` as uint8 [SIDE, SIDE], upright."""
    import tensorflow as tf

    from keraserve_models.preprocessing.decoding import Preparation

    return tf.cast(tf.round(Preparation((SIDE, SIDE), 1).of_file(pixels, orientation)[..., 0]), tf.uint8)
