"""Random changes of the images that a network learns from, drawn anew in every epoch.

They are a step of the data's pipeline, not layers, so the trained network is nothing but the network.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Augmentation = Callable[[Any, Any], Any]
"""Changes images, float32 [N, H, W, C], by random numbers that follow from a seed, int64 [2]."""

_LEAST_AREA = 0.7  # of the image that a crop keeps
_SHIFT = 2  # pixels, at most
_WIDEST = 1.18  # width by height of a crop; the narrowest is as narrow


def flips_and_crops(images: Any, seed: Any) -> Any:
    """Flip half of the images from left to right; crop all and resize what is left to the whole size.

    A crop keeps 0.7 to 1 of the area; its width by its height is 0.85 to 1.18 of the image's.
    """
    import tensorflow as tf

    shape: Any = tf.shape(images)
    area, stretch, down, right, flip = tf.unstack(tf.random.stateless_uniform([5, shape[0]], seed))
    area = _LEAST_AREA + (1 - _LEAST_AREA) * area
    stretch = _WIDEST ** (2 * stretch - 1)
    height, width = tf.minimum(1.0, tf.sqrt(area / stretch)), tf.minimum(1.0, tf.sqrt(area * stretch))
    top, left = down * (1 - height), right * (1 - width)
    start, end = tf.where(flip < 0.5, left, left + width), tf.where(flip < 0.5, left + width, left)
    boxes: Any = tf.stack([top, start, top + height, end], axis=1)  # from right to left, it flips
    return tf.image.crop_and_resize(images, boxes, tf.range(shape[0]), shape[1:3])


def flips_and_shifts(images: Any, seed: Any) -> Any:
    """Flip half of the images from left to right; shift all by 0 to 2 pixels down or up, right or left.

    What a shift uncovers is the mirror image of what is beside it.
    """
    import tensorflow as tf

    shape: Any = tf.shape(images)
    count, height, width = shape[0], shape[1], shape[2]
    kinds = 2 * _SHIFT + 1
    down, right, flip = tf.unstack(tf.random.stateless_uniform([3, count, 1], seed))
    rows = tf.cast(down * kinds, tf.int32) + tf.range(height)
    columns = tf.cast(right * kinds, tf.int32) + tf.range(width)
    columns = tf.where(flip < 0.5, columns, tf.reverse(columns, [1]))
    around = [[0, 0], [_SHIFT, _SHIFT], [_SHIFT, _SHIFT], [0, 0]]
    shifted = tf.gather(tf.pad(images, around, "REFLECT"), rows, axis=1, batch_dims=1)
    return tf.gather(shifted, columns, axis=2, batch_dims=1)


def augmented(batches: Any, change: Augmentation, seed: int, epoch: int) -> Any:
    """Batches (a `tf.data.Dataset` of images and labels) with each batch's images changed.

    The random numbers follow from `seed`, `epoch` (from 0) and the batch's number, so an interrupted run goes
    on with the same ones.
    """
    import tensorflow as tf

    from keraserve_training import runtime

    first = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])

    def apply(number: Any, batch: tuple[Any, Any]) -> tuple[Any, Any]:
        images, labels = batch
        return tf.ensure_shape(change(images, tf.stack([first, number])), images.shape), labels

    changed = batches.enumerate().map(apply, num_parallel_calls=runtime.processors(), deterministic=True)
    return changed.prefetch(2)
