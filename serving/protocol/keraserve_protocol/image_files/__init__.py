"""Read type and size of an image file, and check its structure, without decoding it.

`read` gives type and size; `check` tests whether the rest of the file has the parts that a decoder needs,
complete and in order. Both cost much less than decoding. What they reject, TensorFlow's decoders reject
too, or misread (a BMP's palette and channel masks). What those accept against the format's specification
(bytes after the end, junk between the segments of a JPEG, a GIF cut off after its first frame) is accepted
here; so are bytes after a BMP, which `decodable` removes. The compressed data itself is not checked.
"""

import struct
from functools import partial

from keraserve_protocol import other_formats
from keraserve_protocol.image_files import bmp, gif, jpeg, png, webp
from keraserve_protocol.image_files.header import BadImage, ImageHeader, UnknownFormat
from keraserve_protocol.image_formats import FORMATS, SIGNATURE_BYTES, Signature, find

__all__ = ["BadImage", "ImageHeader", "UnknownFormat", "check", "decodable", "read"]

_MODULES = {"JPEG": jpeg, "PNG": png, "GIF": gif, "BMP": bmp, "WebP": webp}
_CHECKS = {name.lower(): module.check for name, module in _MODULES.items()}
_SIGNATURES = [signature for listed in FORMATS for signature in listed.signatures]


def read(data: bytes) -> ImageHeader:
    """Read the header of an encoded image.

    Raises:
        UnknownFormat: not one of the accepted formats; the message says what it is.
        BadImage: empty, truncated or broken before the size, or a size of zero.
    """
    if not data:
        raise BadImage("it is empty")
    listed = find(data)
    if listed is None:
        if len(data) < SIGNATURE_BYTES and any(map(partial(_goes_on, data), _SIGNATURES)):
            raise BadImage("it ends after its first bytes")
        raise UnknownFormat(other_formats.say(data))
    name = listed.name.lower()
    try:
        header = _MODULES[listed.name].read(data)
    except (LookupError, struct.error) as error:
        raise BadImage(f"the {name} ends before its size") from error
    if header.width <= 0 or header.height <= 0:
        raise BadImage(f"the {name} has a size of {header.width}x{header.height}")
    return header


def check(data: bytes, header: ImageHeader) -> None:
    """Check the structure of the image that `header` was read from.

    Raises:
        BadImage: cut off or damaged, or of a kind that models don't decode.
    """
    try:
        _CHECKS[header.format](data)
    except (LookupError, struct.error) as error:
        raise BadImage(f"the {header.format} is cut off") from error


def decodable(data: bytes) -> bytes:
    """Return an image that passed `check` in a form that TensorFlow decodes; its pixels stay the same."""
    return bmp.without_what_follows(webp.animated_as_with_alpha(data))


def _goes_on(data: bytes, signature: Signature) -> bool:
    """Tell whether a file this short may be the beginning of one with that signature."""
    return all(part.startswith(data[place : place + len(part)]) for place, part in signature)
