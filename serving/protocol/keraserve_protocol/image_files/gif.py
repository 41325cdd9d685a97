"""GIF (GIF89a): blocks of at most 255 bytes. A model sees the first frame; decoders decode all of them."""

import struct
from collections.abc import Iterator

from keraserve_protocol.image_files.header import BadImage, ImageHeader

_EXTENSION, _IMAGE = 0x21, 0x2C
# Encoders fill their blocks. A body of one-byte blocks would take long to read, and all requests would wait.
_MOST_BLOCKS, _BYTES_A_BLOCK = 10_000, 64


def read(data: bytes) -> ImageHeader:
    """Read the canvas's size, and add up the frames: the decoder allocates memory for each of them."""
    width, height = struct.unpack_from("<HH", data, 6)
    frames = [frame_width * frame_height for frame_width, frame_height, _ in _frames(data)]
    return ImageHeader("gif", width, height, max(width * height, sum(frames)), max(1, len(frames)))


def check(data: bytes) -> None:
    """Check that the first frame is complete, which is enough for a decoder."""
    _, _, whole = next(_frames(data), (0, 0, False))
    if not whole:
        raise BadImage("the gif has no whole frame, with a colour table")


def _frames(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield the width and height of each frame, and whether it is complete, up to the end of the file.

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
            except IndexError:  # cut off; the decoder allocates its memory before it finds out
                yield width, height, False
                return
            yield width, height, coloured
    except (IndexError, struct.error):
        return


def _table(flags: int) -> int:
    """Compute the bytes of the colour table from the flags."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after(data: bytes, place: int, left: int) -> tuple[int, int]:
    """Skip blocks up to the empty one at the end; return the offset after it, and how many may follow."""
    while size := data[place]:
        place += size + 1
        left -= 1
        if left < 0:
            raise BadImage("the gif is in far too many pieces")
    return place + 1, left - 1
