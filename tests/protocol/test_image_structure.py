"""The chunks of PNG and WebP files and the segments of JPEG files: wrong ones are rejected."""

import struct
import zlib

import pytest
from protocol.test_image_files import IMAGES, checked

from keraserve_protocol import image_files
from keraserve_protocol.image_files import BadImage


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    packed = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_a_png_with_a_wrong_checksum_is_rejected() -> None:
    data = IMAGES["png"]
    for place in (16, data.index(b"IDAT") + 10, len(data) - 2):
        damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(BadImage, match="checksum"):
            checked(damaged)
    # What a decoder can do without may be damaged.
    comment = struct.pack(">I4s3sI", 3, b"tEXt", b"a\0b", 1234)
    checked(data[:33] + comment + data[33:])


HEADER = (b"IHDR", struct.pack(">IIBBBBB", 5, 5, 8, 2, 0, 0, 0))
PIXELS = zlib.compress((b"\0" + bytes(15)) * 5)


@pytest.mark.parametrize(
    ("chunks", "says"),
    [
        ([HEADER, (b"IEND", b"")], "no IDAT"),
        ([HEADER, (b"IDAT", PIXELS), (b"teXt", b""), (b"IDAT", b""), (b"IEND", b"")], "second IDAT"),
        ([HEADER, HEADER, (b"IDAT", PIXELS), (b"IEND", b"")], "second IHDR"),
        ([HEADER, (b"ABCD", b""), (b"IDAT", PIXELS), (b"IEND", b"")], "ABCD"),
        ([HEADER, (b"A\0CD", b""), (b"IDAT", PIXELS), (b"IEND", b"")], "without a name"),
        ([HEADER, (b"IDAT", PIXELS)], "cut off"),
        (
            [(HEADER[0], HEADER[1][:8] + b"\x03\x03\0\0\0"), (b"IDAT", PIXELS), (b"IEND", b"")],
            "means nothing",
        ),
        ([(HEADER[0], HEADER[1][:8] + b"\x08\x03\0\0\0"), (b"IDAT", PIXELS), (b"IEND", b"")], "no PLTE"),
        ([HEADER] + [(b"teXt", b"")] * 20_000, "more than 20000"),
    ],
)
def test_a_png_with_wrong_chunks_is_rejected(chunks: list[tuple[bytes, bytes]], says: str) -> None:
    with pytest.raises(BadImage, match=says):
        checked(png_of(*chunks))


def test_a_png_in_tiny_chunks_passes() -> None:
    checked(png_of(HEADER, *((b"IDAT", PIXELS[n : n + 1]) for n in range(len(PIXELS))), (b"IEND", b"")))


def test_a_png_for_apples_programs_is_rejected() -> None:
    data = IMAGES["png"]
    chunk = struct.pack(">I", 4) + b"CgBI\x50\0\x20\6"
    with pytest.raises(BadImage, match="only Apple's programs read"):
        checked(data[:8] + chunk + struct.pack(">I", zlib.crc32(chunk[4:])) + data[8:])


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    packed = b"".join(kind + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for kind, c in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(packed)) + b"WEBP" + packed


LOSSLESS = (b"VP8L", b"\x2f" + struct.pack("<I", (15 - 1) | (9 - 1) << 14))  # 15 by 9 pixels
CANVAS = b"\x0e\0\0\x08\0\0"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (webp((b"VP8X", bytes(4) + CANVAS), (b"EXIF", b"abc")), "no image in it"),
        (webp((b"VP8X", bytes(4) + CANVAS + b"\0\0"), LOSSLESS), "impossible length"),
        (webp((b"VP8X", bytes(10)), LOSSLESS), "another size"),
        (webp((b"VP8X", b"\2" + bytes(3) + CANVAS), LOSSLESS), "no image in it"),
        (webp((b"VP8X", bytes(4) + CANVAS), *[(b"junk", b"")] * 5_001), "more than 5000 chunks"),
        (webp((b"VP8L", b"\x2f" + struct.pack("<I", 1 << 29))), "unknown kind"),
        (webp((b"VP8 ", b"\x11\0\0\x9d\x01\x2a\5\0\5\0")), "whole frame"),
        (webp((b"VP8 ", b"\x10\0\0\x9d\x01\x2a\5\0\0\0")), "size of 5x0"),
        (webp(LOSSLESS)[:-1], "cut off"),
    ],
)
def test_a_webp_with_wrong_chunks_is_rejected(data: bytes, says: str) -> None:
    with pytest.raises(BadImage, match=says):
        checked(data)


def test_the_size_of_an_extended_webp_is_its_canvas() -> None:
    data = webp((b"VP8X", bytes(4) + CANVAS), (b"ICCP", b"odd"), LOSSLESS, (b"EXIF", b""))
    assert (checked(data).width, checked(data).height) == (15, 9)
    huge = webp((b"VP8X", bytes(4) + b"\xff" * 6), LOSSLESS)
    assert image_files.read(huge).pixels == 2**48


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


@pytest.mark.parametrize(
    ("before_scan", "says"),
    [
        (segment(0xC4, b"\x04" + bytes(16)), "Huffman"),
        (segment(0xC4, b"\x00" + b"\x05" * 16 + bytes(3)), "Huffman"),
        (segment(0xDB, b"\x09" + bytes(64)), "quantization"),
        (segment(0xDB, b"\x01" + bytes(60)), "quantization"),
        (segment(0xC0, b"\x08\0\x05\0\x05\x01\x01\x11\0"), "two frame headers"),
        (b"\xff\xd8", "second time"),
        (segment(0x02, b""), "marker 0x2"),
    ],
)
def test_a_jpeg_with_wrong_segments_is_rejected(before_scan: bytes, says: str) -> None:
    data = IMAGES["jpeg"]
    scan = data.index(b"\xff\xda")
    with pytest.raises(BadImage, match=says):
        checked(data[:scan] + before_scan + data[scan:])


def test_a_jpeg_of_too_many_scans_is_rejected() -> None:
    data = IMAGES["progressive"]
    last = data.rindex(b"\xff\xda")
    with pytest.raises(BadImage, match="scans"):
        checked(data[:-2] + data[last:-2] * 150 + b"\xff\xd9")


def test_junk_between_the_segments_of_a_jpeg_is_ignored() -> None:
    data = IMAGES["jpeg"]
    table = data.index(b"\xff\xdb")
    assert checked(data[:table] + b"junk \xff\x00 \xff\xff\xff" + data[table + 1 :]).pixels == 37 * 23
