"""JPEG (ITU-T T.81): decoded with libjpeg's accurate method, as Pillow and browsers do."""

from typing import Any

import tensorflow as tf

from keraserve_models.preprocessing.decoders import exif
from keraserve_models.preprocessing.decoders.checks import limited
from keraserve_models.preprocessing.decoders.fields import either, length, part, window

# TensorFlow's default is faster and off by up to 13 grey levels.
DCT = "INTEGER_ACCURATE"
_FILL, _APP1, _START_OF_SCAN, _END = 0xFF, 0xE1, 0xDA, 0xD9
# Markers that stand alone, without a length: TEM, the restart markers, the start of an image.
_ALONE = (0x01, *range(0xD0, 0xD9))
_MOST_STEPS = 1000  # real files have some twenty segments before their data


def decode(content: Any, image: Any) -> tuple[Any, Any]:
    """Decode a JPEG, see `decoders.decode`: grey or RGB (a CMYK one too), its orientation by EXIF."""
    return reduced(content, image, 1), orientation(content)


def orientation(content: Any) -> Any:
    """The orientation that a JPEG's EXIF block says; int32 [], 1 to 8."""
    return tf.cond(
        exif.may_be_in(content, rb"Exif\x00\x00"),
        lambda: _orientation(content),
        lambda: tf.constant(exif.UPRIGHT),
    )


def reduced(content: Any, image: Any, ratio: int) -> Any:
    """Decode at a half, a quarter or an eighth of its size; uint8 [h, w, 1 or 3]."""
    shape = tf.cast(tf.io.extract_jpeg_shape(content), tf.int64)  # as libjpeg reads it; decodes nothing
    with limited(shape[:2], image):
        return tf.io.decode_jpeg(content, ratio=ratio, dct_method=DCT)


def _orientation(content: Any) -> Any:
    """Loop over the segments up to the one with EXIF, or to the data."""
    end = length(content)
    is_alone = tf.constant([value in _ALONE or not value for value in range(256)])

    def step(place: Any, _size: Any, _going: Any) -> tuple[Any, Any, Any]:
        """Read the segment at `place`; the second result is its size if it holds EXIF, else 0."""
        first, marker, high, low, *name = tf.unstack(window(content, place, 10))
        segment = 2 + 256 * high + low
        filling = (first != _FILL) | (marker == _FILL)
        found = ~filling & (marker == _APP1) & tf.reduce_all(tf.stack(name) == list(exif.PREFIX))
        over = ~filling & ((marker == _START_OF_SCAN) | (marker == _END))
        further = either(filling, 1, either(tf.gather(is_alone, marker), 2, segment))
        return tf.where(found, place, place + further), either(found, segment, 0), ~found & ~over

    start = tf.constant(2, tf.int64), tf.constant(0, tf.int64), tf.constant(True)
    place, size, _ = tf.while_loop(
        lambda place, _size, going: going & (place < end), step, start, maximum_iterations=_MOST_STEPS
    )
    # Marker and length take four bytes.
    return exif.orientation(part(content, place + 4, tf.maximum(size - 4, 0)))
