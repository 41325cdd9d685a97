"""GIF (GIF89a): blocks of at most 255 bytes. Its first frame is what a model sees; decoders read them all."""

import struct
from collections.abc import Iterator

from keraserve_protocol.image_files.header import BadImage, ImageHeader

_EXTENSION, _IMAGE = 0x21, 0x2C
# Encoders fill their blocks. A body of one-byte blocks would keep all other requests waiting.
_MOST_BLOCKS, _BYTES_A_BLOCK = 10_000, 64


def read(data: bytes) -> ImageHeader:
    """Read the canvas's size, and add up the frames: the decoder makes room for each of them."""
    width, height = struct.unpack_from("<HH", data, 6)
    frames = [frame_width * frame_height for frame_width, frame_height, _ in _frames(data)]
    return ImageHeader("gif", width, height, max(width * height, sum(frames)), max(1, len(frames)))


def check(data: bytes) -> None:
    """Look for a whole first frame; whatever comes after it, a decoder shows that."""
    _, _, whole = next(_frames(data), (0, 0, False))
    if not whole:
        raise BadImage("the gif has no whole frame, with a colour table")


def _frames(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Give the width and height of each frame, and whether it is whole, as far as the file goes.

    Raises:
        BadImage: far too many blocks.
    """
    left = _MOST_BLOCKS + len(data) // _BYTES_A_BLOCK
    try:
        place = 13 + _table(data[10])
        while data[place] in (_EXTENSION, _IMAGE):
            if data[place] == _EXTENSION:
                place, left = _after(data, place + 2, left)
                continue
            width, height, flags = struct.unpack_from("<HHB", data, place + 5)
            coloured = bool(_table(flags) or _table(data[10]))
            try:
                place, left = _after(data, place + 11 + _table(flags), left)
            except IndexError:  # the decoder makes room for it before it finds out
                yield width, height, False
                return
            yield width, height, coloured
    except (IndexError, struct.error):
        return


def _table(flags: int) -> int:
    """Give the bytes of the colour table that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after(data: bytes, place: int, left: int) -> tuple[int, int]:
    """Skip blocks up to the empty one that ends them; give the place after it and how many may come."""
    while size := data[place]:
        place += size + 1
        left -= 1
        if left < 0:
            raise BadImage("the gif is in far too many pieces")
    return place + 1, left - 1
