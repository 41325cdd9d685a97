"""Read numbers from a file's bytes, inside the graph."""

from typing import Any

import tensorflow as tf

LITTLE = tuple(256**place for place in range(4))
BIG = LITTLE[::-1]


def length(content: Any) -> Any:
    """The number of bytes; int64 []."""
    return tf.cast(tf.strings.length(content), tf.int64)


def part(content: Any, place: Any, count: Any) -> Any:
    """At most `count` bytes from `place` (both int64 []), as far as there are any; string []."""
    return tf.strings.substr(content, tf.minimum(place, length(content)), count)


def window(content: Any, place: Any, count: int) -> Any:
    """`count` bytes from `place` (int64 []); int64 [count], 0 where the file has ended."""
    bytes_ = tf.io.decode_raw(
        part(content, place, tf.constant(count, tf.int64)), tf.uint8, fixed_length=count
    )
    return tf.cast(bytes_, tf.int64)


def either(condition: Any, yes: Any, no: Any) -> Any:
    """The first number if `condition` is true, else the second; int64 []."""
    return tf.where(condition, tf.cast(yes, tf.int64), tf.cast(no, tf.int64))


def code(name: bytes) -> int:
    """A chunk's name of four bytes as a big-endian number."""
    return int.from_bytes(name, "big")


def number(bytes_: Any, weights: Any) -> Any:
    """The number that bytes (int64 [..., n]) stand for; `weights`: LITTLE, BIG, or a part."""
    return tf.reduce_sum(bytes_ * tf.cast(weights, tf.int64), axis=-1)
