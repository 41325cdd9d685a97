"""The orientation in an EXIF block: one field of the first of its directories (EXIF 3.0, 4.6)."""

from typing import Any

import tensorflow as tf

from keraserve_models.preprocessing.decoders.fields import BIG, LITTLE, either, length, number, part, window

PREFIX = b"Exif\0\0"
_LITTLE_ENDIAN, _BIG_ENDIAN = b"II*\0", b"MM\0*"
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_ENTRY = 12  # bytes of a field
UPRIGHT = 1
_FEW = 2**14  # bytes


def orientation(block: Any) -> Any:
    """The orientation in a block (string [], with or without the prefix); int32 [], 1 to 8.

    It is 1, upright, if the block is damaged or has no such field. The thumbnail's orientation, in the second
    directory, is not read.
    """
    prefixed = tf.strings.substr(block, 0, len(PREFIX)) == PREFIX
    block = part(block, either(prefixed, len(PREFIX), 0), length(block))
    order = tf.strings.substr(block, 0, 4)
    little = order == _LITTLE_ENDIAN
    four = tf.where(little, tf.constant(LITTLE, tf.int64), tf.constant(BIG, tf.int64))
    two = tf.where(little, tf.constant(LITTLE[:2], tf.int64), tf.constant(BIG[2:], tf.int64))
    directory = number(window(block, tf.constant(4, tf.int64), 4), four)
    count = number(window(block, directory, 2), two)
    fields = tf.cast(tf.io.decode_raw(part(block, directory + 2, count * _ENTRY), tf.uint8), tf.int64)
    whole = tf.size(fields) // _ENTRY
    fields = tf.reshape(fields[: whole * _ENTRY], (-1, _ENTRY))
    kind = number(fields[:, 2:4], two)
    value = tf.where(kind == _SHORT, number(fields[:, 8:10], two), number(fields[:, 8:12], four))
    fits = (
        (number(fields[:, 0:2], two) == _ORIENTATION)
        & ((kind == _SHORT) | (kind == _LONG))
        & (number(fields[:, 4:8], four) == 1)
        & ((value >= 1) & (value <= 8))
        & (little | (order == _BIG_ENDIAN))
    )
    found = tf.concat([[UPRIGHT], tf.cast(tf.boolean_mask(value, fits), tf.int32)], axis=0)
    return found[-1]


def may_be_in(content: Any, names: bytes) -> Any:
    """Whether a small file contains one of these names (an expression); bool [], true for larger files.

    A search in a few thousand bytes costs less than a loop over a file's parts.
    """
    few = tf.strings.substr(content, 0, _FEW)
    return tf.strings.regex_full_match(few, rb"(?s)\C*(?:" + names + rb")\C*") | (
        tf.strings.length(content) > _FEW
    )
