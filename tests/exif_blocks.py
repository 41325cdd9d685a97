"""EXIF blocks, and image files with them."""

import struct
import zlib

_SHORT = 3


def block(
    orientation: int, order: str = ">", *, thumbnail: int | None = None, kind: int = _SHORT, count: int = 1
) -> bytes:
    """An EXIF block without its prefix.

    Args:
        orientation: 1 to 8, or a value that means nothing.
        order: `>` big-endian, `<` little-endian.
        thumbnail: an orientation of the thumbnail, in the second directory; None: there is no thumbnail.
        kind: the field's type: 3 SHORT, 4 LONG.
        count: how many values the field says that it has; 1 is right.
    """
    value = struct.pack(
        order + ("HH" if kind == _SHORT else "I"), *((orientation, 0)[: 2 if kind == 3 else 1])
    )
    fields = [(0x010F, 2, 4, b"abc\0"), (0x0112, kind, count, value)]
    start = 8
    end = start + 2 + 12 * len(fields) + 4
    first = _directory(fields, order, end if thumbnail is not None else 0)
    second = b""
    if thumbnail is not None:
        second = _directory([(0x0112, _SHORT, 1, struct.pack(order + "HH", thumbnail, 0))], order, 0)
    magic = b"MM\0*" if order == ">" else b"II*\0"
    return magic + struct.pack(order + "I", start) + first + second


def _directory(fields: list[tuple[int, int, int, bytes]], order: str, following: int) -> bytes:
    entries = b"".join(
        struct.pack(order + "HHI", tag, kind, count) + value for tag, kind, count, value in fields
    )
    return struct.pack(order + "H", len(fields)) + entries + struct.pack(order + "I", following)


def in_jpeg(data: bytes, exif: bytes, *, after: bytes = b"") -> bytes:
    """A JPEG with the block in an APP1 segment, right at its beginning or after other segments."""
    return data[:2] + after + segment(0xE1, b"Exif\0\0" + exif) + data[2:]


def segment(marker: int, carried: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(carried) + 2) + carried


def in_png(data: bytes, exif: bytes, *, at_the_end: bool = False) -> bytes:
    """A PNG with the block in an eXIf chunk, before the data or after."""
    place = data.rindex(b"IEND") - 4 if at_the_end else data.index(b"IDAT") - 4
    return data[:place] + chunk(b"eXIf", exif) + data[place:]


def chunk(name: bytes, carried: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(carried)) + name + carried + struct.pack(">I", zlib.crc32(name + carried))
