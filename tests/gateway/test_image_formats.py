"""What can be told of a picture from its file: type, size, structure."""

import io
import random
import struct
import zlib

import pytest
from PIL import Image

from keraserve_gateway.calls import image_formats
from keraserve_gateway.calls.image_formats import BadImage, UnknownFormat


def encode(kind: str, width: int = 37, height: int = 23, **options: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 90)).save(out, kind, **options)
    return out.getvalue()


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated: the size stays that of the stored pixels, which is what the model decodes
    exif[0x010E] = "x" * 5000
    return encode("JPEG", exif=exif)


PICTURES = {
    "jpeg": encode("JPEG"),
    "progressive": encode("JPEG", progressive=True),
    "exif": with_exif(),
    "comment": encode("JPEG", comment=b"c" * 60_000),
    "png": encode("PNG"),
    "gif": encode("GIF"),
    "bmp": encode("BMP"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_size_and_type(name: str) -> None:
    header = image_formats.read(PICTURES[name])
    assert (header.width, header.height, header.pixels) == (37, 23, 37 * 23)
    assert header.format == (name if name in {"png", "gif", "bmp"} else "jpeg")


@pytest.mark.parametrize("name", PICTURES)
def test_every_truncation_is_read_or_refused(name: str) -> None:
    """It says the right size or that it can't; never another size, never another exception."""
    data = PICTURES[name]
    read = []
    for end in range(min(len(data), 8000)):
        try:
            read.append(image_formats.read(data[:end]))
        except BadImage:
            assert not read, "once it can be read, more bytes don't change that"
    assert all((one.width, one.height) == (37, 23) for one in read)


def test_random_bytes() -> None:
    generator = random.Random(20)
    starts = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"GIF87a", b"BM"]
    for n in range(20_000):
        data = starts[n % len(starts)] + generator.randbytes(generator.randrange(64))
        try:
            header = image_formats.read(data)
        except (BadImage, UnknownFormat):
            continue
        assert header.width > 0
        assert header.height > 0


def test_random_damage() -> None:
    generator = random.Random(21)
    for n in range(5_000):
        data = bytearray(list(PICTURES.values())[n % len(PICTURES)][:2000])
        for _ in range(generator.randrange(1, 9)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        try:
            image_formats.read(bytes(data))
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
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xda\0\x08" + b"\0" * 20,
        b"\xff\xd8\xff\xe0\0\0" + b"\0" * 20,
        b"\xff\xd8" + b"\xff" * 50,
        b"\xff\xd8\xff\xc0\0\x11\x08\0\0\0\x05\x03",
    ],
)
def test_broken_headers(data: bytes) -> None:
    with pytest.raises(BadImage):
        image_formats.read(data)


@pytest.mark.parametrize("data", [b"hello", b"RIFF\0\0\0\0WEBPVP8 ", b"II*\0", b"<svg/>", b"\0" * 100])
def test_other_formats(data: bytes) -> None:
    with pytest.raises(UnknownFormat):
        image_formats.read(data)


def test_unusual_but_right() -> None:
    core = b"BM" + b"\0" * 12 + struct.pack("<IHHHH", 12, 7, 9, 1, 24)
    assert image_formats.read(core).pixels == 63
    top_down = b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, 7, -9)
    assert image_formats.read(top_down).height == 9
    filled = b"\xff\xd8\xff\xff\xff\x01\xff\xd0\xff\xc2\0\x11\x08\0\x09\0\x07\x03"
    assert (image_formats.read(filled).width, image_formats.read(filled).height) == (7, 9)


@pytest.mark.parametrize("filler", [b"\xff\x01", b"\xff", b"\xff\xe0\x00\x02"])
def test_a_body_of_markers_only_is_given_up_early(filler: bytes) -> None:
    class Counted(bytes):
        reads = 0

        def __getitem__(self, place: object) -> object:  # pyright: ignore
            Counted.reads += 1
            return super().__getitem__(place)  # pyright: ignore

    with pytest.raises(BadImage):
        image_formats.read(Counted(b"\xff\xd8\xff\xe0\x00\x02" + filler * 100_000))
    assert Counted.reads < 100_000


def checked(data: bytes) -> image_formats.ImageHeader:
    header = image_formats.read(data)
    image_formats.check(data, header)
    return header


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    packed = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def frames(count: int, **options: object) -> bytes:
    pictures = [Image.new("RGB", (16, 9), (90 * n, 200 - 90 * n, 7)) for n in range(count)]
    out = io.BytesIO()
    pictures[0].save(out, options.pop("kind", "GIF"), save_all=True, append_images=pictures[1:], **options)
    return out.getvalue()


@pytest.mark.parametrize("name", PICTURES)
def test_whole_pictures_pass(name: str) -> None:
    assert checked(PICTURES[name]).pixels == 37 * 23


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_off_pictures_do_not(name: str, share: float) -> None:
    data = PICTURES[name]
    with pytest.raises(BadImage):
        checked(data[: int(len(data) * share)])


@pytest.mark.parametrize("name", sorted(PICTURES.keys() - {"bmp"}))
def test_what_comes_after_the_end_does_not_matter(name: str) -> None:
    checked(PICTURES[name] + b"\xff\xd8 and a second picture \x00")


def test_a_bmp_ends_with_its_rows() -> None:
    with pytest.raises(BadImage, match="asks for"):
        checked(PICTURES["bmp"] + b"\0\0")
    sixteen_bits = bytearray(PICTURES["bmp"])
    sixteen_bits[28] = 16
    with pytest.raises(BadImage, match="24 bits"):
        checked(bytes(sixteen_bits))


def test_checksums_of_a_png() -> None:
    data = PICTURES["png"]
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


def test_frames_of_a_gif_count() -> None:
    data = frames(3)
    assert (checked(data).frames, checked(data).pixels) == (3, 3 * 16 * 9)
    second = data.index(b"\x21\xf9\x04")
    assert checked(data[: second + 5]).frames == 1  # the first is whole, and is what is shown
    with pytest.raises(BadImage):
        checked(data[: second - 2])
    huge = b"GIF89a\1\0\1\0\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0x80) + bytes(6)
    assert image_formats.read(huge).pixels == 60000**2
    with pytest.raises(BadImage, match="far too many pieces"):
        checked(data[:second] + b"\x21\xfe" + b"\1x" * 20_000)


def test_an_animated_png_is_one_picture() -> None:
    data = frames(3, kind="PNG")
    assert b"fcTL" in data
    assert checked(data).pixels == 16 * 9


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
    data = PICTURES["jpeg"]
    scan = data.index(b"\xff\xda")
    with pytest.raises(BadImage, match=says):
        checked(data[:scan] + before_scan + data[scan:])


def test_a_jpeg_of_endless_scans() -> None:
    data = PICTURES["progressive"]
    last = data.rindex(b"\xff\xda")
    with pytest.raises(BadImage, match="scans"):
        checked(data[:-2] + data[last:-2] * 150 + b"\xff\xd9")


def test_junk_between_the_segments_of_a_jpeg() -> None:
    data = PICTURES["jpeg"]
    table = data.index(b"\xff\xdb")
    assert checked(data[:table] + b"junk \xff\x00 \xff\xff\xff" + data[table + 1 :]).pixels == 37 * 23
