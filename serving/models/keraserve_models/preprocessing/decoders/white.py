"""Compose transparent images on white, the background of most pages."""

from typing import Any

import tensorflow as tf


def over_white(images: Any) -> Any:
    """Compose images with an alpha channel, uint8 [..., 2 or 4], on white: uint8 [..., 1 or 3].

    Rounded, as PIL does it.
    """
    colours, alpha = tf.cast(images[..., :-1], tf.uint16), tf.cast(images[..., -1:], tf.uint16)
    sums = colours * alpha + 255 * (255 - alpha) + 128
    # Division by 255, for all that fits into 16 bits.
    return tf.cast(tf.bitwise.right_shift(sums + tf.bitwise.right_shift(sums, 8), 8), tf.uint8)


def opaque(images: Any) -> Any:
    """The same for images with or without an alpha channel; uint8 [..., 1 to 4]."""
    channels = images.shape[-1]
    if channels is not None:
        return over_white(images) if channels in (2, 4) else images
    count = tf.shape(images)[-1]
    transparent = (count == 2) | (count == 4)
    given = tf.cond(transparent, lambda: over_white(images), lambda: images)
    return tf.ensure_shape(given, (*images.shape[:-1], None))
