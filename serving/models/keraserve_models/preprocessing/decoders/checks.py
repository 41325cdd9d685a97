"""Reject an image with an error that names it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from keraserve_protocol.image_formats import MAX_PIXELS


@contextlib.contextmanager
def rejected(wrong: Any, image: Any, reason: Any) -> Iterator[None]:
    """Operations that are created in the block run only if `wrong` (bool []) is false; else the graph fails.

    Args:
        wrong: whether to reject.
        image: string []: the beginning of the error's message.
        reason: string []: the rest of it.
    """
    checked = tf.debugging.Assert(tf.logical_not(wrong), [tf.strings.join([image, " ", reason])])
    with tf.control_dependencies([] if checked is None else [checked]):  # None: not in a graph
        yield


@contextlib.contextmanager
def limited(sides: Any, image: Any) -> Iterator[None]:
    """Reject an image of no pixels, or of more than MAX_PIXELS; `sides` are height and width, int64 [2]."""
    # Each may be 2**32 - 1: the product of two such would not fit.
    pixels = tf.reduce_prod(tf.clip_by_value(sides, 0, 2**31))
    told = tf.strings.format(
        f"has {{}}x{{}} = {{}} pixels, 1 to {MAX_PIXELS} are allowed", (sides[1], sides[0], pixels)
    )
    with rejected((pixels < 1) | (pixels > MAX_PIXELS), image, told):
        yield
