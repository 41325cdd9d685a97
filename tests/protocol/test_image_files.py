"""What can be told of an image from its file: type, size, structure."""

import io
import random
import struct
import zlib

import pytest
from PIL import Image

from keraserve_protocol import image_files
from keraserve_protocol.image_files import BadImage, UnknownFormat


def encode(kind: str, width: int = 37, height: int = 23, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 90)).save(out, kind, **options)
    return out.getvalue()


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated: the size that is read is that of the stored pixels, which are as many
    exif[0x010E] = "x" * 5000
    return encode("JPEG", exif=exif)


IMAGES = {
    "jpeg": encode("JPEG"),
    "progressive": encode("JPEG", progressive=True),
    "exif": with_exif(),
    "comment": encode("JPEG", comment=b"c" * 60_000),
    "png": encode("PNG"),
    "gif": encode("GIF"),
    "bmp": encode("BMP"),
    "webp": encode("WEBP"),
    "lossless webp": encode("WEBP", lossless=True),
    "extended webp": encode("WEBP", icc_profile=bytes(301)),
}


@pytest.mark.shows("size, frames and structure")
@pytest.mark.parametrize("name", IMAGES)
def test_size_and_type(name: str) -> None:
    header = image_files.read(IMAGES[name])
    assert (header.width, header.height, header.pixels) == (37, 23, 37 * 23)
    kind = name.rpartition(" ")[2]
    assert header.format == (kind if kind in {"png", "gif", "bmp", "webp"} else "jpeg")


@pytest.mark.parametrize("name", IMAGES)
def test_every_truncation_is_read_or_rejected(name: str) -> None:
    """It says the right size or that it can't; never another size, never another exception."""
    data = IMAGES[name]
    read = []
    for end in range(min(len(data), 8000)):
        try:
            read.append(image_files.read(data[:end]))
        except BadImage:
            assert not read, "once it can be read, more bytes don't change that"
    assert all((one.width, one.height) == (37, 23) for one in read)


def test_random_bytes() -> None:
    generator = random.Random(20)
    starts = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"GIF87a", b"BM"]
    starts += [b"RIFF\x50\0\0\0WEBP" + kind for kind in (b"", b"VP8 ", b"VP8L", b"VP8X\x0a\0\0\0")]
    for n in range(20_000):
        data = starts[n % len(starts)] + generator.randbytes(generator.randrange(64))
        try:
            header = image_files.read(data)
        except (BadImage, UnknownFormat):
            continue
        assert header.width > 0
        assert header.height > 0


def test_random_damage() -> None:
    generator = random.Random(21)
    for n in range(5_000):
        data = bytearray(list(IMAGES.values())[n % len(IMAGES)][:2000])
        for _ in range(generator.randrange(1, 9)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        try:
            image_files.read(bytes(data))
        except (BadImage, UnknownFormat):
            continue


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 0, 5),
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"CgBI", 5, 5),
        b"GIF89a\0\0\0\0",
        b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, -5, 5),
        b"RIFF\x50\0\0\0WEB",
        b"RIFF\x50\0\0\0WEBP",
        b"RIFF\x50\0\0\0WEBPABCD" + bytes(60),
        b"RIFF\x50\0\0\0WEBPVP8 " + bytes(60),
        b"RIFF\x50\0\0\0WEBPVP8L" + bytes(60),
        b"RIFF\x50\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(6),
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xda\0\x08" + b"\0" * 20,
        b"\xff\xd8\xff\xe0\0\0" + b"\0" * 20,
        b"\xff\xd8" + b"\xff" * 50,
        b"\xff\xd8\xff\xc0\0\x11\x08\0\0\0\x05\x03",
    ],
)
def test_broken_headers(data: bytes) -> None:
    with pytest.raises(BadImage):
        image_files.read(data)


BM = b"BMW has sold more of its cars than ever this year, says the company."


@pytest.mark.parametrize("data", [b"hello", BM, b"RIFF\0\0\0\0WAVEfmt ", b"II*\0", b"<svg/>", b"\0" * 100])
def test_other_formats(data: bytes) -> None:
    with pytest.raises(UnknownFormat):
        image_files.read(data)


def test_unusual_but_right() -> None:
    core = b"BM" + b"\0" * 12 + struct.pack("<IHHHH", 12, 7, 9, 1, 24)
    assert image_files.read(core).pixels == 63
    top_down = b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, 7, -9)
    assert image_files.read(top_down).height == 9
    filled = b"\xff\xd8\xff\xff\xff\x01\xff\xd0\xff\xc2\0\x11\x08\0\x09\0\x07\x03"
    assert (image_files.read(filled).width, image_files.read(filled).height) == (7, 9)


@pytest.mark.parametrize("filler", [b"\xff\x01", b"\xff", b"\xff\xe0\x00\x02"])
def test_a_body_of_markers_only_is_given_up_early(filler: bytes) -> None:
    class Counted(bytes):
        reads = 0

        def __getitem__(self, place: object) -> object:  # pyright: ignore
            Counted.reads += 1
            return super().__getitem__(place)  # pyright: ignore

    with pytest.raises(BadImage):
        image_files.read(Counted(b"\xff\xd8\xff\xe0\x00\x02" + filler * 100_000))
    assert Counted.reads < 100_000


def checked(data: bytes) -> image_files.ImageHeader:
    header = image_files.read(data)
    image_files.check(data, header)
    return header


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    packed = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def frames(count: int, **options: object) -> bytes:
    images = [Image.new("RGB", (16, 9), (90 * n, 200 - 90 * n, 7)) for n in range(count)]
    out = io.BytesIO()
    images[0].save(out, options.pop("kind", "GIF"), save_all=True, append_images=images[1:], **options)
    return out.getvalue()


@pytest.mark.parametrize("name", IMAGES)
def test_whole_images_pass(name: str) -> None:
    assert checked(IMAGES[name]).pixels == 37 * 23


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_off_images_do_not(name: str, share: float) -> None:
    data = IMAGES[name]
    with pytest.raises(BadImage):
        checked(data[: int(len(data) * share)])


@pytest.mark.parametrize("name", IMAGES)
def test_what_comes_after_the_end_does_not_matter(name: str) -> None:
    checked(IMAGES[name] + b"\xff\xd8 and a second image \x00")


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
    """Write a bitmap of 4 by 2 pixels; masks stand in the header where it has room for them."""
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
def test_a_bmp_whose_pixels_are_what_they_seem(data: bytes) -> None:
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
def test_a_bmp_whose_pixels_are_something_else(data: bytes) -> None:
    with pytest.raises(BadImage, match="save it with 24 bits a pixel, or as PNG"):
        checked(data)


def test_checksums_of_a_png() -> None:
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
def test_chunks_of_a_png(chunks: list[tuple[bytes, bytes]], says: str) -> None:
    with pytest.raises(BadImage, match=says):
        checked(png_of(*chunks))


def test_a_png_in_tiny_chunks() -> None:
    checked(png_of(HEADER, *((b"IDAT", PIXELS[n : n + 1]) for n in range(len(PIXELS))), (b"IEND", b"")))


@pytest.mark.shows("size, frames and structure")
def test_frames_of_a_gif_count() -> None:
    data = frames(3)
    assert (checked(data).frames, checked(data).pixels) == (3, 3 * 16 * 9)
    second = data.index(b"\x21\xf9\x04")
    assert checked(data[: second + 5]).frames == 1  # the first is whole, and is what is shown
    with pytest.raises(BadImage):
        checked(data[: second - 2])
    huge = b"GIF89a\1\0\1\0\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0x80) + bytes(6)
    assert image_files.read(huge).pixels == 60000**2
    with pytest.raises(BadImage, match="far too many pieces"):
        checked(data[:second] + b"\x21\xfe" + b"\1x" * 20_000)


def test_a_png_for_apples_programs() -> None:
    data = IMAGES["png"]
    chunk = struct.pack(">I", 4) + b"CgBI\x50\0\x20\6"
    with pytest.raises(BadImage, match="only Apple's programs read"):
        checked(data[:8] + chunk + struct.pack(">I", zlib.crc32(chunk[4:])) + data[8:])


def test_an_animated_png_is_one_image() -> None:
    data = frames(3, kind="PNG")
    assert b"fcTL" in data
    assert checked(data).pixels == 16 * 9


def test_an_animated_webp_is_one_image() -> None:
    data = frames(3, kind="WEBP", lossless=True)
    assert checked(data).pixels == 16 * 9
    with pytest.raises(BadImage, match="cut off"):
        checked(data[:-9])


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
def test_chunks_of_a_webp(data: bytes, says: str) -> None:
    with pytest.raises(BadImage, match=says):
        checked(data)


def test_an_extended_webp_has_its_size_in_front() -> None:
    data = webp((b"VP8X", bytes(4) + CANVAS), (b"ICCP", b"odd"), LOSSLESS, (b"EXIF", b""))
    assert (checked(data).width, checked(data).height) == (15, 9)
    huge = webp((b"VP8X", bytes(4) + b"\xff" * 6), LOSSLESS)
    assert image_files.read(huge).pixels == 2**48


def test_an_animated_webp_is_sent_with_the_flag_that_its_decoder_needs() -> None:
    data = frames(2, kind="WEBP", lossless=True)
    sent = image_files.decodable(data)
    assert [place for place in range(len(data)) if data[place] != sent[place]] == [20]
    assert (data[20], sent[20]) == (0x02, 0x12)
    assert image_files.decodable(sent) == sent
    for name in IMAGES:
        assert image_files.decodable(IMAGES[name]) is IMAGES[name]
    for end in range(30):
        assert len(image_files.decodable(data[:end])) == end


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
def test_segments_of_a_jpeg(before_scan: bytes, says: str) -> None:
    data = IMAGES["jpeg"]
    scan = data.index(b"\xff\xda")
    with pytest.raises(BadImage, match=says):
        checked(data[:scan] + before_scan + data[scan:])


def test_a_jpeg_of_endless_scans() -> None:
    data = IMAGES["progressive"]
    last = data.rindex(b"\xff\xda")
    with pytest.raises(BadImage, match="scans"):
        checked(data[:-2] + data[last:-2] * 150 + b"\xff\xd9")


def test_junk_between_the_segments_of_a_jpeg() -> None:
    data = IMAGES["jpeg"]
    table = data.index(b"\xff\xdb")
    assert checked(data[:table] + b"junk \xff\x00 \xff\xff\xff" + data[table + 1 :]).pixels == 37 * 23
