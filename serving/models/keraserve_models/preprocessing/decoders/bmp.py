"""Windows bitmaps: rows of 24 or 32 bits a pixel, or of 8 bits that are grey levels.

TensorFlow reads only the pixels, and ignores palettes and channel masks.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keraserve_models.preprocessing.decoders.checks import limited, rejected
from keraserve_models.preprocessing.decoders.exif import UPRIGHT
from keraserve_models.preprocessing.decoders.fields import part
from keraserve_models.preprocessing.decoders.white import over_white

OF_ANOTHER_KIND = "is a BMP of a kind that models do not decode: save it with 24 bits a pixel, or as PNG"
_INFO_HEADER, _HEADER_WITH_ALPHA = 40, 56  # bytes
_PLAIN, _MASKS, _MASKS_WITH_ALPHA = 0, 3, 6  # compression
_BGR, _ALPHA = (0x00FF0000, 0x0000FF00, 0x000000FF), -0x01000000  # of int32: 0xFF000000
_GREY_LEVELS = np.repeat(np.arange(256, dtype=np.uint8), 4).reshape(256, 4) * np.array([1, 1, 1, 0], np.uint8)


def decode(content: Any, image: Any) -> tuple[Any, Any]:
    """Decode a BMP, see `decoders.decode`. Without an alpha mask the fourth byte of a pixel means nothing."""
    # The fields from the file's size on: all of 4 bytes, but planes and bits a pixel, of 2 bytes each.
    fields = tf.io.decode_raw(tf.strings.substr(content, 2, 68), tf.int32, fixed_length=68)
    _, _, start, header, width, height, planes_and_bits, compression = tf.unstack(fields[:8])
    bits = tf.bitwise.right_shift(planes_and_bits, 16)
    masks, alpha = fields[13:16], fields[16]
    has_alpha_mask = (header >= _HEADER_WITH_ALPHA) | (compression == _MASKS_WITH_ALPHA)
    alpha = tf.where(has_alpha_mask, alpha, 0)
    masked = (compression == _MASKS) | (compression == _MASKS_WITH_ALPHA)
    usual_masks = tf.reduce_all(masks == _BGR) & ((alpha == 0) | (alpha == _ALPHA))
    plain = compression == _PLAIN
    good = (
        ((bits == 24) & plain)
        | ((bits == 32) & (plain | (masked & usual_masks)))
        | ((bits == 8) & plain & _palette_is_grey(content, header))
    )
    with (
        rejected((header < _INFO_HEADER) | ~good, image, OF_ANOTHER_KIND),
        # The height is negative where the first row is the upper one.
        limited(tf.cast([height, width], tf.int64) * tf.cast([tf.sign(height), 1], tf.int64), image),
    ):
        pixels = tf.io.decode_bmp(tf.strings.substr(content, 0, _end(start, width, height, bits)))
    pixels = tf.cond(
        (bits == 32) & masked & (alpha != 0),
        lambda: over_white(pixels),
        lambda: pixels[..., : tf.where(bits == 8, 1, 3)],
    )
    return pixels, tf.constant(UPRIGHT)


def _end(start: Any, width: Any, height: Any, bits: Any) -> Any:
    """Where the rows end, int32 []: TensorFlow rejects files with more bytes, which Photoshop writes."""
    row = tf.cast(bits // 8, tf.int64) * tf.cast(width, tf.int64)
    rows = (row + 3) // 4 * 4 * tf.abs(tf.cast(height, tf.int64))
    return tf.cast(tf.clip_by_value(tf.cast(start, tf.int64) + rows, 0, 2**31 - 1), tf.int32)


def _palette_is_grey(content: Any, header: Any) -> Any:
    """Whether a palette's colours are the 256 grey levels, in order: then a pixel's value is its level."""
    size = _GREY_LEVELS.size
    palette = part(content, 14 + tf.cast(tf.maximum(header, 0), tf.int64), tf.constant(size, tf.int64))
    colours = tf.reshape(tf.io.decode_raw(palette, tf.uint8, fixed_length=size), _GREY_LEVELS.shape)
    return tf.reduce_all(colours[:, :3] == _GREY_LEVELS[:, :3])
