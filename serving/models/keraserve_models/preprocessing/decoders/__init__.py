"""Decode one encoded image inside the graph, as viewers show it; one module a format.

The size is read from the header and limited before anything is decoded. Where TensorFlow's decoders silently
give wrong pixels (transparency by colour, a BMP's palette, frames smaller than a GIF), these decode
correctly, or reject with an error that names the image. Only TensorFlow's own operations are used, as
TensorFlow Serving runs this too.
"""

from functools import cache, partial
from typing import Any

import numpy as np
import tensorflow as tf

from keraserve_models.preprocessing.decoders import bmp, exif, gif, jpeg, png, webp
from keraserve_models.preprocessing.decoders.checks import rejected
from keraserve_protocol import image_formats

_MODULES = {"JPEG": jpeg, "PNG": png, "GIF": gif, "BMP": bmp, "WebP": webp}
_DECODERS = [_MODULES[each.name].decode for each in image_formats.FORMATS]
UNKNOWN = -1
JPEG = image_formats.FORMATS.index(image_formats.JPEG)


def kinds(encoded: Any) -> Any:
    """Each file's (string [...]) format by its first bytes; int32 [...]: place in `FORMATS`, or UNKNOWN."""
    values, masks, places = _signatures()
    first = tf.io.decode_raw(
        tf.strings.substr(encoded, 0, image_formats.SIGNATURE_BYTES),
        tf.uint8,
        fixed_length=image_formats.SIGNATURE_BYTES,
    )
    same = tf.bitwise.bitwise_and(first[..., tf.newaxis, :], masks) == values
    matching = tf.reduce_all(same, axis=-1)
    return tf.reduce_max(tf.where(matching, places, UNKNOWN), axis=-1)


def decode(content: Any, image: Any) -> tuple[Any, Any]:
    """Decode an image, of an animation the first frame, composed on white.

    Args:
        content: string []: the file.
        image: string []: the image's name in error messages.

    Returns:
        uint8 [h, w, 1 (grey) or 3 (RGB)] as the file stores it; and its EXIF orientation, int32 [], 1 to 8.

    Raises (in the graph):
        InvalidArgumentError: it is empty, of another format, has too many pixels, is of a kind that is not
            decoded (each with a message that begins with `image`), or is damaged.
    """

    def unknown() -> tuple[Any, Any]:
        empty = tf.strings.length(content) == 0
        reason = tf.where(empty, "is empty", f"is not a {image_formats.named()} image")
        with rejected(True, image, reason):
            return tf.zeros((0, 0, 3), tf.uint8), tf.constant(exif.UPRIGHT)

    branches = [partial(each, content, image) for each in _branches()]
    pixels, orientation = tf.switch_case(kinds(content), branches, default=unknown)
    return tf.ensure_shape(pixels, (None, None, None)), tf.ensure_shape(orientation, ())


@cache
def _branches() -> list[Any]:
    """Each format's decoder as a function that is not inlined into the graphs of the signatures.

    Inlined, the operations of all five decoders would be scheduled for each image (decision 7).
    """

    def branch(decoder: Any) -> Any:
        def decoded(content: Any, image: Any) -> tuple[Any, Any]:
            pixels, orientation = decoder(content, image)
            return tf.ensure_shape(pixels, (None, None, None)), orientation

        text = tf.TensorSpec((), tf.string)
        return tf.function(
            decoded, (text, text), autograph=False, experimental_attributes={"_noinline": True}
        )

    return [branch(decoder) for decoder in _DECODERS]


def _signatures() -> tuple[Any, Any, Any]:
    """The signatures' bytes and which of them count, uint8 [S, 12], and each one's format, int32 [S]."""
    rows = [
        (place, signature)
        for place, each in enumerate(image_formats.FORMATS)
        for signature in each.signatures
    ]
    values = np.zeros((len(rows), image_formats.SIGNATURE_BYTES), np.uint8)
    masks = np.zeros_like(values)
    for row, (_, signature) in enumerate(rows):
        for start, part in signature:
            values[row, start : start + len(part)] = list(part)
            masks[row, start : start + len(part)] = 255
    return values, masks, np.array([place for place, _ in rows], np.int32)
