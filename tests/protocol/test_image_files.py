"""Type and size of an image are read from its file; cut off, damaged and animated files of every format."""

import io
import random
import struct

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


def checked(data: bytes) -> image_files.ImageHeader:
    header = image_files.read(data)
    image_files.check(data, header)
    return header


@pytest.mark.shows("size, frames and structure")
@pytest.mark.parametrize("name", IMAGES)
def test_size_and_type_are_read(name: str) -> None:
    header = checked(IMAGES[name])
    assert (header.width, header.height, header.pixels) == (37, 23, 37 * 23)
    kind = name.rpartition(" ")[2]
    assert header.format == (kind if kind in {"png", "gif", "bmp", "webp"} else "jpeg")


@pytest.mark.parametrize("name", IMAGES)
def test_every_truncation_is_read_or_rejected(name: str) -> None:
    """The size is right, or `BadImage` is raised."""
    data = IMAGES[name]
    read = []
    for end in range(min(len(data), 8000)):
        try:
            read.append(image_files.read(data[:end]))
        except BadImage:
            assert not read, "a shorter part of the file was read"
    assert all((one.width, one.height) == (37, 23) for one in read)


def test_random_bytes_raise_no_other_error() -> None:
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


def test_random_damage_raises_no_other_error() -> None:
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
def test_broken_headers_are_rejected(data: bytes) -> None:
    with pytest.raises(BadImage):
        image_files.read(data)


BM = b"BMW has sold more of its cars than ever this year, says the company."


@pytest.mark.parametrize("data", [b"hello", BM, b"RIFF\0\0\0\0WAVEfmt ", b"II*\0", b"<svg/>", b"\0" * 100])
def test_other_formats_are_unknown(data: bytes) -> None:
    with pytest.raises(UnknownFormat):
        image_files.read(data)


def test_unusual_headers_are_read() -> None:
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


def frames(count: int, **options: object) -> bytes:
    images = [Image.new("RGB", (16, 9), (90 * n, 200 - 90 * n, 7)) for n in range(count)]
    out = io.BytesIO()
    images[0].save(out, options.pop("kind", "GIF"), save_all=True, append_images=images[1:], **options)
    return out.getvalue()


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_images_that_are_cut_off_are_rejected(name: str, share: float) -> None:
    data = IMAGES[name]
    with pytest.raises(BadImage):
        checked(data[: int(len(data) * share)])


@pytest.mark.parametrize("name", IMAGES)
def test_bytes_after_the_end_are_ignored(name: str) -> None:
    checked(IMAGES[name] + b"\xff\xd8 and a second image \x00")


@pytest.mark.shows("size, frames and structure")
def test_the_frames_of_a_gif_are_counted() -> None:
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


def test_an_animated_png_is_one_image() -> None:
    data = frames(3, kind="PNG")
    assert b"fcTL" in data
    assert checked(data).pixels == 16 * 9


def test_an_animated_webp_is_one_image() -> None:
    data = frames(3, kind="WEBP", lossless=True)
    assert checked(data).pixels == 16 * 9
    with pytest.raises(BadImage, match="cut off"):
        checked(data[:-9])


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
