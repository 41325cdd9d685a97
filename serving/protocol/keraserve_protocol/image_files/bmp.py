"""Windows bitmaps as models decode them: rows of blue, green and red, or of grey levels.

TensorFlow reads the bytes of a pixel only: it ignores a palette and channel masks.
"""

import struct

from keraserve_protocol.image_files.header import BadImage, ImageHeader

_CORE_HEADER, _INFO_HEADER = 12, 40
_HEADER_WITH_ALPHA = 56
_PLAIN, _MASKS, _MASKS_WITH_ALPHA = 0, 3, 6  # the values of `compression` that mean none
_BGR, _NO_ALPHA, _ALPHA = (0xFF0000, 0x00FF00, 0x0000FF), 0, 0xFF000000
_GREY_LEVELS = bytes(range(256))


def read(data: bytes) -> ImageHeader:
    """Read BITMAPCOREHEADER or BITMAPINFOHEADER."""
    (header,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if header == _CORE_HEADER else "<ii", data, 18)
    height = abs(height)  # a negative height means rows from top to bottom
    return ImageHeader("bmp", width, height, width * height)


def check(data: bytes) -> None:
    """Check that TensorFlow reads the pixels correctly, and that all rows are there."""
    header, _, _, _, bits = struct.unpack_from("<IiiHH", data, 14)
    if header < _INFO_HEADER or not _is_decoded(data, header, bits):
        raise BadImage(
            "the bmp is of a kind that models don't decode: save it with 24 bits a pixel, or as PNG"
        )
    whole = _end(data)
    if len(data) < whole:
        raise BadImage(f"the bmp is cut off: it has {len(data)} bytes where its header asks for {whole}")


def without_what_follows(data: bytes) -> bytes:
    """Return a BMP up to the end of its rows; other images as they are.

    Some programs append bytes (Photoshop: two), which viewers ignore; TensorFlow's decoder rejects the file.
    """
    return data[: _end(data)] if data[:2] == b"BM" else data


def _end(data: bytes) -> int:
    """Compute from the header where the rows end."""
    start, _, width, height, _, bits = struct.unpack_from("<IIiiHH", data, 10)
    return start + (bits // 8 * width + 3) // 4 * 4 * abs(height)


def _is_decoded(data: bytes, header: int, bits: int) -> bool:
    (compression,) = struct.unpack_from("<I", data, 30)
    if bits == 24:
        return compression == _PLAIN
    if bits == 32:
        return compression == _PLAIN or _has_usual_masks(data, header, compression)
    return bits == 8 and compression == _PLAIN and _has_grey_levels(data, header)


def _has_usual_masks(data: bytes, header: int, compression: int) -> bool:
    """Tell whether the masks, in the header or after it, mean blue, green, red and perhaps alpha."""
    if compression not in (_MASKS, _MASKS_WITH_ALPHA):
        return False
    *colours, alpha = struct.unpack_from("<IIII", data, 54)
    has_alpha = header >= _HEADER_WITH_ALPHA or compression == _MASKS_WITH_ALPHA
    return tuple(colours) == _BGR and (not has_alpha or alpha in (_NO_ALPHA, _ALPHA))


def _has_grey_levels(data: bytes, header: int) -> bool:
    """Tell whether the palette is the 256 grey levels in order, so that a pixel's number is its level."""
    palette = data[14 + header : 14 + header + 4 * len(_GREY_LEVELS)]
    return all(palette[channel::4] == _GREY_LEVELS for channel in range(3))
