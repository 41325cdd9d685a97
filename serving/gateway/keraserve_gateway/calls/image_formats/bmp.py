"""Windows bitmaps as TensorFlow reads them: uncompressed rows of 1, 3 or 4 bytes a pixel, nothing after."""

import struct

from keraserve_gateway.calls.image_formats.header import BadImage, ImageHeader

_CORE_HEADER = 12


def read(data: bytes) -> ImageHeader:
    """Read BITMAPCOREHEADER or BITMAPINFOHEADER."""
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == _CORE_HEADER else "<ii", data, 18)
    height = abs(height)  # a negative height means rows from top to bottom
    return ImageHeader("bmp", width, height, width * height)


def check(data: bytes) -> None:
    """Compare the file's length with that of its rows."""
    start, header, width, height, _, bits = struct.unpack_from("<IIiiHH", data, 10)
    if header == _CORE_HEADER or bits // 8 not in (1, 3, 4):
        raise BadImage(
            "the bmp is of a kind that models don't decode: save it with 24 bits a pixel, or as PNG"
        )
    row = (bits // 8 * width + 3) // 4 * 4
    whole = start + row * abs(height)
    if len(data) != whole:
        raise BadImage(f"the bmp has {len(data)} bytes where its header asks for {whole}")
