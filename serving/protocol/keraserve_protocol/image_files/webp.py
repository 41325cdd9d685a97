"""WebP (RFC 9649): a RIFF file of chunks; either one image, or an extended file with further chunks."""

import struct

from keraserve_protocol.image_files.header import BadImage, ImageHeader

_FIRST = 12  # where the chunks begin
_CHUNK_HEADER = 8
_CANVAS = 10  # the length of a VP8X chunk
_FLAGS = 20  # the offset of a VP8X chunk's flags
_ANIMATION, _ALPHA = 0x02, 0x10
_START_CODE, _LOSSLESS = b"\x9d\x01\x2a", 0x2F
_IMAGES = (b"VP8 ", b"VP8L")
# Encoders write a few chunks before the image. A body of empty chunks would take long to read.
_MOST_CHUNKS = 5_000


def read(data: bytes) -> ImageHeader:
    """Read the size of the canvas, or of the image in a file without a canvas."""
    kind = data[_FIRST : _FIRST + 4]
    if kind == b"VP8X":
        width, height = _size_of_canvas(data)
    elif kind in _IMAGES:
        width, height = _size_of_image(data, kind, _FIRST + _CHUNK_HEADER)
    else:
        raise BadImage("the webp does not begin with an image or a VP8X chunk")
    return ImageHeader("webp", width, height, width * height)


def check(data: bytes) -> None:
    """Go through the chunks up to the image or the first frame, which has to be complete."""
    (riff,) = struct.unpack_from("<I", data, 4)
    end = _CHUNK_HEADER + riff
    if end > len(data):
        raise BadImage("the webp is cut off")
    if data[_FIRST : _FIRST + 4] == b"VP8X":
        _check_extended(data, end)
    else:
        _check_image(data, _FIRST, end)


def animated_as_with_alpha(data: bytes) -> bytes:
    """Set an animated WebP's flag that it has an alpha channel; return other images as they are.

    TensorFlow's decoder decodes animations as RGBA. If the flag is missing it allocates memory for RGB only,
    and writes beyond it: the process may crash. The pixels are the same with the flag.
    """
    extended = data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and len(data) > _FLAGS
    if not extended or data[_FLAGS] & (_ANIMATION | _ALPHA) != _ANIMATION:
        return data
    return b"".join((data[:_FLAGS], bytes([data[_FLAGS] | _ALPHA]), data[_FLAGS + 1 :]))


def _size_of_canvas(data: bytes) -> tuple[int, int]:
    low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", data, 24)
    return (high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1


def _size_of_image(data: bytes, kind: bytes, place: int) -> tuple[int, int]:
    """Read the header of the compressed data that begins at `place`."""
    if kind == b"VP8L":
        mark, bits = struct.unpack_from("<BI", data, place)
        if mark != _LOSSLESS or bits >> 29:
            raise BadImage("the webp has lossless data of an unknown kind")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    first, code, width, height = struct.unpack_from("<Bxx3sHH", data, place)
    if code != _START_CODE or first & 1 or not first & 0x10:
        raise BadImage("the webp has lossy data that do not begin with a whole frame")
    return width & 0x3FFF, height & 0x3FFF


def _check_extended(data: bytes, end: int) -> None:
    size, flags = struct.unpack_from("<IB", data, _FIRST + 4)
    if size != _CANVAS:
        raise BadImage("the webp has a VP8X chunk of impossible length")
    wanted = (b"ANMF",) if flags & _ANIMATION else _IMAGES
    place = _FIRST + _CHUNK_HEADER + _CANVAS
    for _ in range(_MOST_CHUNKS):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind in wanted:
            break
        place += _CHUNK_HEADER + size + size % 2
        if place >= end:
            raise BadImage("the webp has no image in it")
    else:
        raise BadImage(f"the webp has more than {_MOST_CHUNKS} chunks before its image")
    if kind == b"ANMF":
        if place + _CHUNK_HEADER + size > end:
            raise BadImage("the webp is cut off in its first frame")
    elif _check_image(data, place, end) != _size_of_canvas(data):
        raise BadImage("the webp has an image of another size than it says")


def _check_image(data: bytes, place: int, end: int) -> tuple[int, int]:
    kind, size = struct.unpack_from("<4sI", data, place)
    if place + _CHUNK_HEADER + size > end:
        raise BadImage("the webp is cut off in its image")
    return _size_of_image(data, kind, place + _CHUNK_HEADER)
