"""Small PNG images, encoded without a library."""

import struct
import zlib


def png(red: int, green: int, blue: int, *, width: int = 12, height: int = 10) -> bytes:
    """Encode an image of one colour."""
    rows = (b"\0" + bytes([red, green, blue]) * width) * height
    return png_file(width, height, zlib.compress(rows))


def undecodable_png(size: int = 40) -> bytes:
    """Encode an image that is whole but for its `size` compressed bytes, which only a decoder can see."""
    return png_file(12, 10, b"\x78\x9c" + b"\xff" * size)


def png_file(width: int, height: int, pixels: bytes, *, colour: int = 2, interlaced: int = 0) -> bytes:
    """A PNG of 8 bits with these compressed rows."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
