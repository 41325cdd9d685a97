"""Small PNG images, encoded without a library."""

import struct
import zlib


def png(red: int, green: int, blue: int, *, width: int = 12, height: int = 10) -> bytes:
    """Encode an image of one colour."""
    rows = (b"\0" + bytes([red, green, blue]) * width) * height
    return _png(width, height, zlib.compress(rows))


def undecodable_png(size: int = 40) -> bytes:
    """Encode an image that is whole but for its `size` compressed bytes, which only a decoder can see."""
    return _png(12, 10, b"\x78\x9c" + b"\xff" * size)


def _png(width: int, height: int, pixels: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
