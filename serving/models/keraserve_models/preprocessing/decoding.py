"""Turn encoded images or arrays of any size into a network's input, inside the graph.

Arrays and decoded images go through the same `Preparation`, so they can't give different numbers.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keraserve_models.preprocessing import decoders
from keraserve_models.preprocessing.decoders import exif
from keraserve_models.preprocessing.decoders.checks import rejected
from keraserve_models.preprocessing.decoders.white import opaque

# ITU-R BT.601 luma, with which JPEG, PIL and TensorFlow turn colours into grey
_LUMA = (0.299, 0.587, 0.114)
RULES = "upright, on white, accurate DCT"
"""The choices that decoding makes: part of the key of everything that is computed from images."""
# By orientation: from which end rows and columns are read, after they were exchanged from the fifth on.
_ON_ITS_SIDE = 5
_STEPS = ((1, 1), (1, 1), (1, -1), (-1, -1), (-1, 1), (1, 1), (1, -1), (-1, -1), (-1, 1))


class Preparation:
    """Gives images the channels and the size that a network takes. Holds no variables.

    Args:
        size: height and width.
        channels: 1 or 3.
        cropped: of an image of other proportions the middle is taken; else it is stretched.
    """

    def __init__(self, size: tuple[int, int], channels: int, cropped: bool = False) -> None:
        if channels not in (1, 3):
            raise ValueError(f"a network takes 1 or 3 channels, not {channels}")
        self._channels = channels
        self._size = size
        self.cropped = cropped
        self._fit = _cropped if cropped else _resized

    def __call__(self, images: Any) -> Any:
        """Turn uint8 [..., H, W, C] with C from 1 to 4 into float32 [..., height, width, channels].

        The values stay 0 to 255. An image with an alpha channel (C of 2 or 4) is composed on white.
        """
        images = tf.convert_to_tensor(images)
        count = tf.shape(images)[-1]
        sentence = tf.strings.format("has {} channels, not 1 to 4", count)
        with rejected((count < 1) | (count > 4), "an image", sentence):
            images = tf.identity(images)
        return self._coloured(self._fit(opaque(images), self._size))

    def of_file(self, pixels: Any, orientation: Any) -> Any:
        """Turn what `decoders.decode` gives into float32 [height, width, channels], upright."""
        values = tf.cond(
            orientation == exif.UPRIGHT,
            lambda: self._fit(pixels, self._size),
            lambda: self._turned(pixels, orientation),
        )
        return self._coloured(values)

    def seen(self, pixels: Any, orientation: Any) -> Any:
        """The parts of an image's height and width, upright, that are not cropped; float32 [2]."""
        sides = tf.shape(pixels)[:2]
        sides = tf.where(on_its_side(orientation), sides[::-1], sides)
        kept = tf.stack(_middle(sides[0], sides[1], self._size)) if self.cropped else sides
        return tf.cast(kept / sides, tf.float32)

    def _turned(self, pixels: Any, orientation: Any) -> Any:
        """Resized, then turned: the result is the same, and fewer pixels are turned."""
        height, width = self._size
        size = tf.where(on_its_side(orientation), [width, height], [height, width])
        return tf.ensure_shape(upright(self._fit(pixels, size), orientation), (height, width, None))

    def _coloured(self, values: Any) -> Any:
        # After resizing, so that this works on fewer pixels; both are linear, so the result is the same.
        count = tf.shape(values)[-1]
        values = tf.broadcast_to(values, tf.concat([tf.shape(values)[:-1], [3]], axis=0))
        if self._channels == 3:
            return values
        weights = tf.where(count == 3, tf.constant(_LUMA), tf.constant((1.0, 0.0, 0.0)))
        return tf.reduce_sum(values * weights, axis=-1, keepdims=True)


def decode(encoded: Any, name: str, prepare: Preparation, shape: tuple[int, int, int]) -> Any:
    """Decode every image of a batch on its own, whatever its size, and turn it upright.

    Args:
        encoded: string [N], each of a format of `keraserve_protocol.image_formats`; of an animation the first
            frame is taken.
        name: of the input; error messages have it.
        prepare: is applied to each image.
        shape: what `prepare` gives for one image.

    Returns:
        float32 [N, *shape].

    Raises (in the graph):
        InvalidArgumentError: an image is empty, of another format, of a kind that is not decoded, or has too
            many pixels: says which one, counted from 0. If the data are damaged, TensorFlow's decoder fails,
            whose message does not say which one.
    """
    return _each(encoded, name, prepare.of_file, tf.TensorSpec(shape, tf.float32))


def decode_seen(encoded: Any, name: str, prepare: Preparation, shape: tuple[int, int, int]) -> Any:
    """Decode as `decode`; returns that, and the parts of each image that are seen, float32 [N, 2]."""

    def both(pixels: Any, orientation: Any) -> tuple[Any, Any]:
        return prepare.of_file(pixels, orientation), prepare.seen(pixels, orientation)

    return _each(encoded, name, both, (tf.TensorSpec(shape, tf.float32), tf.TensorSpec((2,), tf.float32)))


@tf.autograph.experimental.do_not_convert  # written with TensorFlow's own conditions: nothing is to convert
def _each(encoded: Any, name: str, prepare: Callable[[Any, Any], Any], specs: Any) -> Any:
    places = tf.strings.as_string(tf.range(tf.size(encoded)))
    images = (encoded, tf.strings.join([f"{name}[", places, "]"]))
    return tf.map_fn(lambda image: prepare(*decoders.decode(*image)), images, fn_output_signature=specs)


def upright(image: Any, orientation: Any) -> Any:
    """Turn one image [H, W, C] as its EXIF orientation (int32 [], 1 to 8) says."""
    turned = tf.cond(
        on_its_side(orientation), lambda: tf.transpose(image, (1, 0, 2)), lambda: tf.identity(image)
    )
    steps = tf.gather(tf.constant(_STEPS), orientation)
    return turned[:: steps[0], :: steps[1]]


def on_its_side(orientation: Any) -> Any:
    """Whether an image with this orientation is stored with rows and columns exchanged; bool []."""
    return orientation >= _ON_ITS_SIDE


def within(image: Any, side: int) -> Any:
    """One image (uint8 [H, W, C]) with at most `side` pixels a side, in its own proportions; uint8."""
    size = tf.shape(image)[:2]
    longer = tf.reduce_max(size)
    smaller = tf.maximum(size * side // longer, 1)
    resized = _resized(image, tf.where(longer > side, smaller, size))
    return tf.cast(tf.round(resized), tf.uint8)


def _cropped(images: Any, size: Any) -> Any:
    """Resize the middle that has the proportions of `size`, which Keras' crop_to_aspect_ratio takes too."""
    height, width = tf.shape(images)[-3], tf.shape(images)[-2]
    rows, columns = _middle(height, width, size)
    top, left = (height - rows) // 2, (width - columns) // 2
    return _resized(images[..., top : top + rows, left : left + columns, :], size)


def _middle(height: Any, width: Any, size: Any) -> tuple[Any, Any]:
    """Height and width of the largest middle that has the proportions of `size`."""
    rows = tf.clip_by_value(width * size[0] // size[1], 1, height)
    return rows, tf.clip_by_value(height * size[1] // size[0], 1, width)


def _resized(images: Any, size: Any) -> Any:
    """Resize uint8 [..., H, W, C] to float32 [..., *size, C], bilinear, without a float32 copy of all pixels.

    An image that shrinks is antialiased. Otherwise that would change nothing, and plain bilinear resizing is
    five times as fast.
    """
    single = images.shape.rank == 3
    batch = images[tf.newaxis] if single else images
    fits = tf.reduce_all(tf.shape(batch)[1:3] <= size)
    values = tf.cond(fits, lambda: _enlarged(batch, size), lambda: _shrunk(batch, size))
    return values[0] if single else values


def _enlarged(images: Any, size: Any) -> Any:
    return tf.raw_ops.ResizeBilinear(images=images, size=size, half_pixel_centers=True)


def _shrunk(images: Any, size: Any) -> Any:
    scale = tf.cast(size, tf.float32) / tf.cast(tf.shape(images)[1:3], tf.float32)
    return tf.raw_ops.ScaleAndTranslate(
        images=images, size=size, scale=scale, translation=tf.zeros(2), kernel_type="triangle", antialias=True
    )
