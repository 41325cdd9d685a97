"""PNG (W3C's specification): the upper 8 bits of 16, the still image of an animated one."""

from typing import Any

import tensorflow as tf

from keraserve_models.preprocessing.decoders import exif
from keraserve_models.preprocessing.decoders.checks import limited, rejected
from keraserve_models.preprocessing.decoders.fields import BIG, code, length, number, part, window
from keraserve_models.preprocessing.decoders.white import opaque

_FIRST = 8  # where the chunks begin
_AROUND = 12  # bytes of a chunk beside its data: length, name, checksum
# Colour types: two in which one colour may be transparent, and the first of those with alpha
_GREY, _RGB, _WITH_ALPHA = 0, 2, 4
_MOST_CHUNKS = 20_000


def decode(content: Any, image: Any) -> tuple[Any, Any]:
    """Decode a PNG, see `decoders.decode`; its orientation by an eXIf chunk."""
    first = tf.io.decode_raw(
        tf.strings.substr(content, 0, 32), tf.int32, little_endian=False, fixed_length=32
    )
    _, _, _, name, width, height, others, _ = tf.unstack(first)
    colours = tf.bitwise.bitwise_and(tf.bitwise.right_shift(others, 16), 255)
    sides = tf.bitwise.bitwise_and(tf.cast([height, width], tf.int64), 2**32 - 1)
    # libpng would read the size from another chunk.
    headless = rejected(name != code(b"IHDR"), image, "is damaged: it does not begin with an IHDR chunk")
    with headless, limited(sides, image):
        return tf.cond(
            (colours >= _WITH_ALPHA) | exif.may_be_in(content, rb"tRNS|eXIf"),
            lambda: _with_all(content, colours, image),
            lambda: (tf.io.decode_png(content), tf.constant(exif.UPRIGHT)),
        )


def _with_all(content: Any, colours: Any, image: Any) -> tuple[Any, Any]:
    """Decode one that may have a transparent colour, or an orientation."""
    keyed, place, size = _walk(content, image)
    pixels = tf.cond(
        keyed & ((colours == _GREY) | (colours == _RGB)),
        lambda: tf.io.decode_png(content, channels=4),
        lambda: tf.io.decode_png(content),
    )
    return opaque(pixels), exif.orientation(part(content, place + 8, size))


def _walk(content: Any, image: Any) -> tuple[Any, Any, Any]:
    """Loop over the chunks: whether there is a tRNS before the data, the place of eXIf, and its size."""
    end = length(content)

    def step(place: Any, keyed: Any, exif_place: Any, exif_size: Any, before: Any) -> tuple[Any, ...]:
        head = window(content, place, 8)
        size, name = number(head[:4], BIG), number(head[4:], BIG)
        found = name == code(b"eXIf")
        before &= name != code(b"IDAT")
        last = (name == code(b"IEND")) | (~before & (exif_size > 0))
        return (
            tf.where(last, end, place + _AROUND + size),
            keyed | (before & (name == code(b"tRNS"))),
            tf.where(found, place, exif_place),
            tf.where(found, size, exif_size),
            before,
        )

    zero = tf.constant(0, tf.int64)
    start = tf.constant(_FIRST, tf.int64), tf.constant(False), zero, zero, tf.constant(True)
    place, keyed, exif_place, exif_size, _ = tf.while_loop(
        lambda place, *_: place < end, step, start, maximum_iterations=_MOST_CHUNKS
    )
    with rejected(place < end, image, f"has more than {_MOST_CHUNKS} chunks"):
        return tf.identity(keyed), exif_place, exif_size
