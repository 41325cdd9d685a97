"""The type and size of a picture, from the first bytes of its file; nothing is decoded.

Formats: ITU-T T.81 annex B (JPEG), the PNG specification's IHDR chunk, GIF89a section 18, and the
Windows bitmap's BITMAPCOREHEADER and BITMAPINFOHEADER. These four are what `tf.io.decode_image` decodes.
"""

# ruff: noqa: N818 (the names say what is wrong with the picture)

import struct
from dataclasses import dataclass


class UnknownFormat(ValueError):
    """The bytes begin like none of the four formats."""


class BadHeader(ValueError):
    """One of the four formats, but it ends or breaks before it says its size."""


@dataclass(frozen=True)
class ImageHeader:
    """What a picture says of itself: `format` is jpeg, png, gif or bmp; width and height in pixels."""

    format: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def read(data: bytes) -> ImageHeader:
    """Read the header of an encoded picture.

    Raises:
        UnknownFormat: not JPEG, PNG, GIF or BMP.
        BadHeader: empty, truncated or broken before the size, or a size of zero.
    """
    if not data:
        raise BadHeader("it is empty")
    for magic, name, size in _FORMATS:
        if data.startswith(magic):
            try:
                width, height = size(data)
            except (struct.error, IndexError) as error:
                raise BadHeader(f"the {name} ends before its size") from error
            if width <= 0 or height <= 0:
                raise BadHeader(f"the {name} has a size of {width}x{height}")
            return ImageHeader(name, width, height)
        if magic.startswith(data):
            raise BadHeader("it ends after its first bytes")
    raise UnknownFormat("it is no JPEG, PNG, GIF or BMP")


def _png(data: bytes) -> tuple[int, int]:
    (kind, width, height) = struct.unpack_from(">4sII", data, 12)
    if kind != b"IHDR":
        raise BadHeader("the png does not begin with an IHDR chunk")
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    (header,) = struct.unpack_from("<I", data, 14)
    if header == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)  # a negative height means rows from top to bottom


_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
# Real pictures have dozens of markers. A body of nothing else would keep all other requests waiting.
_MOST_MARKERS, _MOST_FILL = 1000, 64


def _jpeg(data: bytes) -> tuple[int, int]:
    """Walk from marker to marker (EXIF, tables, …) up to the start of frame, which has the size."""
    place = 2
    for _ in range(_MOST_MARKERS):
        if data[place] != 0xFF:
            raise BadHeader("the jpeg is broken before its size")
        fill = 0
        while data[place] == 0xFF and fill < _MOST_FILL:  # a marker may be preceded by more of these
            place, fill = place + 1, fill + 1
        marker = data[place]
        place += 1
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">HH", data, place + 3)
            return width, height
        if marker in (_END_OF_IMAGE, _START_OF_SCAN):
            raise BadHeader("the jpeg has no frame header before its data")
        (length,) = struct.unpack_from(">H", data, place)
        if length < 2:
            raise BadHeader("the jpeg has a segment of impossible length")
        place += length
    raise BadHeader("the jpeg has no frame header within a thousand markers")


_FORMATS = (
    (b"\xff\xd8\xff", "jpeg", _jpeg),
    (b"\x89PNG\r\n\x1a\n", "png", _png),
    (b"GIF87a", "gif", _gif),
    (b"GIF89a", "gif", _gif),
    (b"BM", "bmp", _bmp),
)
