"""From whatever a client sends to what a network takes, inside the graph.

Both ways in, arrays and encoded pictures, meet in `Preparation`, so they can't give different numbers.
"""

from typing import Any

import keras
import tensorflow as tf

# ITU-R BT.601 luma, which JPEG, PIL and TensorFlow use to turn colours into grey
_LUMA = (0.299, 0.587, 0.114)
# What tf.io.decode_image recognises a picture by; anything else it refuses without saying which one.
_BEGINNINGS = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "GIF": b"GIF8", "BMP": b"BM"}
_BEGINNING_BYTES = 8


class Preparation:
    """Gives pictures the channels and the size that a network takes. Holds no variables."""

    def __init__(self, size: tuple[int, int], channels: int) -> None:
        if channels not in (1, 3):
            raise ValueError(f"a network takes 1 or 3 channels, not {channels}")
        self._channels = channels
        self._size = size
        # Fewer pixels: averaged, not skipped. At the network's own size nothing changes.
        self._shrink = keras.layers.Resizing(*size, antialias=True, data_format="channels_last")
        self._enlarge = keras.layers.Resizing(*size, antialias=False, data_format="channels_last")

    def __call__(self, pictures: Any) -> Any:
        """Turn uint8 [..., H, W, C] with C from 1 to 4 into float32 [..., height, width, channels].

        The values stay 0 to 255. An alpha channel (C of 2 or 4) is dropped, as if the picture were opaque.
        """
        count = tf.shape(pictures)[-1]
        checked = tf.debugging.Assert(
            (count >= 1) & (count <= 4), [tf.strings.format("a picture has {} channels, not 1 to 4", count)]
        )
        with tf.control_dependencies([] if checked is None else [checked]):
            coloured = count >= 3
            used = pictures[..., : tf.where(coloured, 3, 1)]
        # Resizing first: what follows then works on few pixels, and as both are linear, it is the same.
        values = self._resized(tf.cast(used, tf.float32))
        values = tf.broadcast_to(values, tf.concat([tf.shape(values)[:-1], [3]], axis=0))
        if self._channels == 3:
            return values
        weights = tf.where(coloured, tf.constant(_LUMA), tf.constant((1.0, 0.0, 0.0)))
        return tf.reduce_sum(values * weights, axis=-1, keepdims=True)

    def _resized(self, values: Any) -> Any:
        """Bilinear. Where nothing shrinks, there is nothing to average: the same, five times as fast."""
        height, width = values.shape[-3], values.shape[-2]
        if height is not None and width is not None:
            fits = height <= self._size[0] and width <= self._size[1]
            return (self._enlarge if fits else self._shrink)(values)
        fits = tf.reduce_all(tf.shape(values)[-3:-1] <= tf.constant(self._size))
        return tf.cond(fits, lambda: self._enlarge(values), lambda: self._shrink(values))


def decode(encoded: Any, name: str, prepare: Preparation, shape: tuple[int, int, int]) -> Any:
    """Decode every picture of a batch on its own, whatever its size.

    Args:
        encoded: string [N], each a JPEG, PNG, GIF (its first frame is taken) or BMP.
        name: what the client calls the input; in the message of an error.
        prepare: is applied to each picture.
        shape: what `prepare` gives for one picture.

    Returns:
        float32 [N, *shape].

    Raises (in the graph):
        InvalidArgumentError: a picture is empty or of no such format: says which one, counted from 0. One
            that is damaged inside stops the decoder, which does not know its place.
    """
    with tf.control_dependencies(_checks(encoded, name)):
        encoded = tf.identity(encoded)

    def one(content: Any) -> Any:
        # channels=0: as the file has them. Asking for 1 or 3 fails for some kinds of BMP and GIF.
        picture = tf.io.decode_image(content, channels=0, expand_animations=False)
        return prepare(tf.ensure_shape(picture, (None, None, None)))

    return tf.map_fn(one, encoded, fn_output_signature=tf.TensorSpec(shape, tf.float32))


def known_format(encoded: Any) -> Any:
    """Which of these files (string [...]) begin like a JPEG, PNG, GIF or BMP; bool [...]."""
    beginnings = tf.strings.substr(encoded, 0, _BEGINNING_BYTES)
    known = tf.zeros_like(encoded, tf.bool)
    for beginning in _BEGINNINGS.values():
        known |= tf.strings.substr(beginnings, 0, len(beginning)) == beginning
    return known


def _checks(encoded: Any, name: str) -> list[Any]:
    """Assertions that name the first picture that is empty, or of no known format."""
    empty = tf.strings.length(encoded) == 0
    known = known_format(encoded) | empty
    return [
        _none(empty, name, "is empty"),
        _none(
            ~known, name, f"is not a {', '.join(list(_BEGINNINGS)[:-1])} or {list(_BEGINNINGS)[-1]} picture"
        ),
    ]


def _none(wrong: Any, name: str, reason: str) -> Any:
    places = tf.range(tf.size(wrong))
    place = tf.reduce_min(tf.where(wrong, places, tf.int32.max))
    sentence = tf.strings.join([f"{name}[", tf.strings.as_string(place), f"] {reason}"])
    return tf.debugging.Assert(~tf.reduce_any(wrong), [sentence])
