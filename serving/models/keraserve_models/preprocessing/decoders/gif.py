"""GIF (GIF89a): its first frame, at its place in the whole image, on white.

TensorFlow decodes every frame to use the first, makes the image as large as the largest frame, and
transparent pixels black. So it gets a file with only the first frame, in whose colour table the transparent
colour is white.
"""

from typing import Any

import tensorflow as tf

from keraserve_models.preprocessing.decoders.checks import limited, rejected
from keraserve_models.preprocessing.decoders.exif import UPRIGHT
from keraserve_models.preprocessing.decoders.fields import LITTLE, either, number, part, window

_HEADER, _DESCRIPTOR = 13, 10  # bytes
_EXTENSION, _IMAGE, _CONTROL = 0x21, 0x2C, 0xF9
_FULL = 255  # bytes of the largest block: encoders write only the last one smaller
_AHEAD = 256  # blocks that are read in one step
_MOST_STEPS = 10_000
_WHITE = b"\xff\xff\xff"


def decode(content: Any, image: Any) -> tuple[Any, Any]:
    """Decode a GIF, see `decoders.decode`: uint8 [h, w, 3], never transparent."""
    bytes_ = tf.io.decode_raw(content, tf.uint8)
    head = window(content, tf.constant(0, tf.int64), _HEADER)
    table = _table(head[10])
    place, transparent, left_steps = _first_image(bytes_, _HEADER + table)
    descriptor = window(content, place, _DESCRIPTOR)
    own_table = _table(descriptor[9])
    start = place + _DESCRIPTOR + own_table + 1  # behind the byte that says how the data is packed
    end, _ = _after_blocks(bytes_, start, left_steps)
    cut = (descriptor[0] != _IMAGE) | (end < 0)
    left, top, wide, high = (number(descriptor[at : at + 2], LITTLE[:2]) for at in (1, 3, 5, 7))
    width = tf.maximum(number(head[6:8], LITTLE[:2]), left + wide)
    height = tf.maximum(number(head[8:10], LITTLE[:2]), top + high)
    with (
        rejected(cut, image, "is damaged: its first frame is not whole"),
        limited(tf.stack([height, width]), image),
    ):
        one = tf.strings.join(
            [
                part(content, tf.constant(0, tf.int64), tf.constant(_HEADER, tf.int64)),
                _whitened(part(content, tf.constant(_HEADER, tf.int64), table), transparent),
                b",\0\0\0\0",  # an image at 0, 0
                part(content, place + 5, tf.constant(5, tf.int64)),
                _whitened(part(content, place + _DESCRIPTOR, own_table), transparent),
                part(content, start - 1, end - start + 1),
                b";",
            ]
        )
        frame = tf.io.decode_image(one, channels=3, expand_animations=False)
    around = [[top, height - top - high], [left, width - left - wide], [0, 0]]
    return tf.pad(frame, tf.cast(around, tf.int32), constant_values=255), tf.constant(UPRIGHT)


def _table(flags: Any) -> Any:
    """The bytes of the colour table that flags announce; int64 []."""
    sizes = tf.constant([3 << (value & 7) + 1 if value & 0x80 else 0 for value in range(256)], tf.int64)
    return tf.gather(sizes, flags)


def _first_image(bytes_: Any, place: Any) -> tuple[Any, Any, Any]:
    """Skip extensions; returns the place of the first image or the end, the transparent colour, steps left.

    The colour is that of the last control extension before the image, or -1.
    """

    def step(place: Any, transparent: Any, left: Any) -> tuple[Any, Any, Any]:
        label, flags, colour = _at(bytes_, place + 1), _at(bytes_, place + 3), _at(bytes_, place + 6)
        new = either(flags % 2 == 1, colour, -1)
        following, left = _after_blocks(bytes_, place + 2, left - 1)
        following = tf.where(following < 0, tf.size(bytes_, tf.int64), following)
        return following, tf.where(label == _CONTROL, new, transparent), left

    return tf.while_loop(
        lambda place, _, left: (_at(bytes_, place) == _EXTENSION) & (left > 0),
        step,
        (place, tf.constant(-1, tf.int64), tf.constant(_MOST_STEPS)),
    )


def _after_blocks(bytes_: Any, place: Any, left: Any) -> tuple[Any, Any]:
    """Skip blocks up to the empty one that ends them, in at most `left` steps (int32 []).

    Returns the place after it, int64 [], or -1 if there is none; and the steps left. As most blocks are full,
    the places of the next ones are known, and a step searches them for the first that is not full.
    """

    def step(place: Any, left: Any) -> tuple[Any, Any]:
        sizes = bytes_[place : place + _AHEAD * (_FULL + 1) : _FULL + 1]
        full = tf.argmax(tf.concat([sizes != _FULL, [True]], axis=0))
        place += full * (_FULL + 1)
        size = _at(bytes_, place)
        # After the last full one there may be another one, which was not read yet, or the end.
        return place + either((full < _AHEAD) & (size > 0), size + 1, 0), left - 1

    def going(place: Any, left: Any) -> Any:
        return (_at(bytes_, place) > 0) & (left > 0)

    place, left = tf.while_loop(going, step, (place, left))
    ended = (place < tf.size(bytes_, tf.int64)) & ~going(place, tf.constant(1))
    return either(ended, place + 1, -1), left


def _at(bytes_: Any, place: Any) -> Any:
    """One byte, int64 []; 0 behind the end."""
    inside = place < tf.size(bytes_, tf.int64)
    return either(inside, bytes_[either(inside, place, 0)], 0)


def _whitened(table: Any, transparent: Any) -> Any:
    """A colour table (string []) with its transparent colour, if it has one, made white."""
    place = tf.maximum(transparent, 0) * 3
    there = (transparent >= 0) & (place < tf.cast(tf.strings.length(table), tf.int64))

    def white() -> Any:
        after = part(table, place + 3, tf.constant(3 * 256, tf.int64))
        return tf.strings.join([tf.strings.substr(table, 0, tf.cast(place, tf.int32)), _WHITE, after])

    return tf.cond(there, white, lambda: table)
