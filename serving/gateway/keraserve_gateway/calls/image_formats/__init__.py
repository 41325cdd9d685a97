"""What a picture is, as far as that can be told from its file without decoding it.

`read` gives type and size, `check` looks at the rest of the file: does it have the parts that a decoder
needs, whole and in order? Both cost much less than decoding. What they refuse, TensorFlow's decoders refuse
too, and what those accept against the format's specification (bytes after the end, junk between the segments
of a JPEG, a GIF cut off after its first frame) is accepted here. What is left for the model server to find
out is the compressed data itself.
"""

import struct

from keraserve_gateway.calls.image_formats import bmp, gif, jpeg, png
from keraserve_gateway.calls.image_formats.header import BadImage, ImageHeader, UnknownFormat
from keraserve_protocol import other_formats

__all__ = ["BadImage", "ImageHeader", "UnknownFormat", "check", "read"]

_FORMATS = (
    (b"\xff\xd8\xff", "jpeg", jpeg),
    (b"\x89PNG\r\n\x1a\n", "png", png),
    (b"GIF87a", "gif", gif),
    (b"GIF89a", "gif", gif),
    (b"BM", "bmp", bmp),
)
_CHECKS = {name: module.check for _, name, module in _FORMATS}


def read(data: bytes) -> ImageHeader:
    """Read the header of an encoded picture.

    Raises:
        UnknownFormat: not JPEG, PNG, GIF or BMP.
        BadImage: empty, truncated or broken before the size, or a size of zero.
    """
    if not data:
        raise BadImage("it is empty")
    for magic, name, module in _FORMATS:
        if data.startswith(magic):
            try:
                header = module.read(data)
            except (LookupError, struct.error) as error:
                raise BadImage(f"the {name} ends before its size") from error
            if header.width <= 0 or header.height <= 0:
                raise BadImage(f"the {name} has a size of {header.width}x{header.height}")
            return header
        if magic.startswith(data):
            raise BadImage("it ends after its first bytes")
    raise UnknownFormat(other_formats.say(data))


def check(data: bytes, header: ImageHeader) -> None:
    """Check the structure of the picture that `header` was read from.

    Raises:
        BadImage: it is cut off or damaged, or of a kind that TensorFlow does not decode.
    """
    try:
        _CHECKS[header.format](data)
    except (LookupError, struct.error) as error:
        raise BadImage(f"the {header.format} is cut off") from error
