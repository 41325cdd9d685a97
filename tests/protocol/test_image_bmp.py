"""BMP files: those pass whose bytes are blue, green and red, or grey levels."""

import struct

import pytest
from protocol.test_image_files import IMAGES, checked

from keraserve_protocol import image_files
from keraserve_protocol.image_files import BadImage


def test_a_bmp_is_sent_up_to_the_end_of_its_rows() -> None:
    data = IMAGES["bmp"]
    for after in (b"\0\0", b"more" * 500):  # Photoshop's two bytes; what others append
        checked(data + after)
        assert image_files.decodable(data + after) == data
    with pytest.raises(BadImage, match="asks for"):
        checked(IMAGES["bmp"][:-1])


def bmp(
    bits: int, *, header: int = 40, compression: int = 0, masks: tuple[int, ...] = (), palette: bytes = b""
) -> bytes:
    """Write a bitmap of 4 by 2 pixels; masks are in the header as far as they fit, the others behind it."""
    behind = struct.pack(f"<{len(masks)}I", *masks)
    inside = behind[: header - 40].ljust(header - 40, b"\0")
    behind = behind[header - 40 :]
    size = (bits * 4 + 31) // 32 * 4 * 2
    start = 14 + header + len(behind) + len(palette)
    info = struct.pack("<IiiHHIIiiII", header, 4, 2, 1, bits, compression, size, 0, 0, 0, 0)
    before = b"BM" + struct.pack("<IHHI", start + size, 0, 0, start)
    return before + info + inside + behind + palette + bytes(size)


BGR = (0xFF0000, 0xFF00, 0xFF)
GREY_LEVELS = b"".join(bytes([level, level, level, 0]) for level in range(256))


@pytest.mark.shows("a BMP of 24")
@pytest.mark.parametrize(
    "data",
    [
        bmp(24),
        bmp(24, header=124),
        bmp(32),
        bmp(32, compression=3, masks=BGR),
        bmp(32, header=56, compression=3, masks=(*BGR, 0)),
        bmp(32, header=108, compression=3, masks=(*BGR, 0xFF000000)),
        bmp(32, compression=6, masks=(*BGR, 0xFF000000)),
        bmp(8, palette=GREY_LEVELS),
        bmp(8, header=124, palette=GREY_LEVELS),
        bmp(8, palette=GREY_LEVELS[:-1] + b"\xff"),
    ],
)
def test_a_bmp_that_tensorflow_decodes_correctly_passes(data: bytes) -> None:
    assert checked(data).pixels == 8


@pytest.mark.shows("a BMP of 24")
@pytest.mark.parametrize(
    "data",
    [
        bmp(1, palette=bytes(8)),
        bmp(4, palette=bytes(64)),
        bmp(16),
        bmp(16, compression=3, masks=(0xF800, 0x7E0, 0x1F)),
        bmp(8, palette=bytes(1024)),  # black only
        bmp(8, palette=GREY_LEVELS[::-1][3:] + bytes(3)),
        bmp(8, palette=GREY_LEVELS[:1020] + b"\1\2\3\0"),
        bmp(8, palette=GREY_LEVELS[:512]),
        bmp(8, compression=1, palette=GREY_LEVELS),  # run lengths, in as many bytes as pixels
        bmp(24, compression=4),
        bmp(32, compression=3, masks=BGR[::-1]),
        bmp(32, compression=3, masks=(0x3FF00000, 0xFFC00, 0x3FF)),
        bmp(32, header=108, compression=3, masks=(0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
        bmp(32, header=56, compression=3, masks=(*BGR, 0x7F000000)),
        bmp(24)[:14] + struct.pack("<IHHHH", 12, 4, 2, 1, 24) + bytes(24),
    ],
)
def test_a_bmp_that_tensorflow_would_misread_is_rejected(data: bytes) -> None:
    with pytest.raises(BadImage, match="save it with 24 bits a pixel, or as PNG"):
        checked(data)
