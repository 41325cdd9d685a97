"""WebP (RFC 9649): lossy, lossless, with alpha; of an animation the first frame."""

from typing import Any

import tensorflow as tf

from keraserve_models.preprocessing.decoders import exif
from keraserve_models.preprocessing.decoders.checks import limited, rejected
from keraserve_models.preprocessing.decoders.fields import (
    BIG,
    LITTLE,
    code,
    either,
    length,
    number,
    part,
    window,
)
from keraserve_models.preprocessing.decoders.white import opaque

_FIRST = 12  # where the chunks begin
_FLAGS = 20  # the byte that says what an extended file holds
_ANIMATION, _EXIF, _ALPHA = 0x02, 0x08, 0x10
_MOST_CHUNKS = 20_000
_BYTES = tuple(bytes([value]) for value in range(256))


def decode(content: Any, image: Any) -> tuple[Any, Any]:
    """Decode a WebP, see `decoders.decode`; its orientation by an EXIF chunk."""
    head = window(content, tf.constant(0, tf.int64), 30)
    name = number(head[12:16], BIG)
    extended = name == code(b"VP8X")
    known = extended | (name == code(b"VP8 ")) | (name == code(b"VP8L"))
    flags = either(extended, head[_FLAGS], 0)
    unlike = rejected(~known, image, "is damaged: it does not begin as a WebP does")
    with unlike, limited(_sides(head, name), image):
        # TensorFlow allocates three channels for an animation without the flag, but decodes four.
        safe = tf.cond(_has(flags, _ANIMATION), lambda: _with_alpha(content, flags), lambda: content)
        pixels = tf.io.decode_image(safe, expand_animations=False)
    orientation = tf.cond(
        _has(flags, _EXIF), lambda: _orientation(content), lambda: tf.constant(exif.UPRIGHT)
    )
    return opaque(tf.ensure_shape(pixels, (None, None, None))), orientation


def _sides(head: Any, name: Any) -> Any:
    """Height and width from the first 30 bytes, int64 [2]; their place depends on the kind of file."""
    extended = [number(head[27:30], LITTLE[:3]) + 1, number(head[24:27], LITTLE[:3]) + 1]
    lossy = [number(head[28:30], LITTLE[:2]) % 2**14, number(head[26:28], LITTLE[:2]) % 2**14]
    bits = number(head[21:25], LITTLE)
    lossless = [bits // 2**14 % 2**14 + 1, bits % 2**14 + 1]
    return tf.where(name == code(b"VP8X"), extended, tf.where(name == code(b"VP8L"), lossless, lossy))


def _has(flags: Any, flag: int) -> Any:
    return tf.bitwise.bitwise_and(flags, tf.constant(flag, tf.int64)) != 0


def _with_alpha(content: Any, flags: Any) -> Any:
    """The same file with the flag for an alpha channel set."""
    flags = tf.bitwise.bitwise_or(flags, tf.constant(_ALPHA, tf.int64))
    changed = tf.gather(tf.constant(_BYTES), flags)
    before, after = tf.strings.substr(content, 0, _FLAGS), tf.strings.substr(content, _FLAGS + 1, 2**31 - 1)
    return tf.strings.join([before, changed, after])


def _orientation(content: Any) -> Any:
    """Loop over the chunks up to the one with EXIF, which usually is the last."""
    end = length(content)

    def step(place: Any, _: Any) -> tuple[Any, Any]:
        """Read the chunk at `place`; the second result is its size if it holds EXIF, else 0."""
        head = window(content, place, 8)
        size = number(head[4:], LITTLE)
        found = number(head[:4], BIG) == code(b"EXIF")
        return tf.where(found, place, place + 8 + size + size % 2), either(found, size, 0)

    place, size = tf.while_loop(
        lambda place, size: (place < end) & (size == 0),
        step,
        (tf.constant(_FIRST, tf.int64), tf.constant(0, tf.int64)),
        maximum_iterations=_MOST_CHUNKS,
    )
    return exif.orientation(part(content, place + 8, size))
