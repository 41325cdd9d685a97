"""Type and size from a picture's first bytes."""

import io
import random
import struct

import pytest
from PIL import Image

from keraserve_gateway import image_header
from keraserve_gateway.image_header import BadHeader, UnknownFormat


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
    header = image_header.read(PICTURES[name])
    assert (header.width, header.height, header.pixels) == (37, 23, 37 * 23)
    assert header.format == (name if name in {"png", "gif", "bmp"} else "jpeg")


@pytest.mark.parametrize("name", PICTURES)
def test_every_truncation_is_read_or_refused(name: str) -> None:
    """It says the right size or that it can't; never another size, never another exception."""
    data = PICTURES[name]
    read = []
    for end in range(min(len(data), 8000)):
        try:
            read.append(image_header.read(data[:end]))
        except BadHeader:
            assert not read, "once it can be read, more bytes don't change that"
    assert all((one.width, one.height) == (37, 23) for one in read)


def test_random_bytes() -> None:
    generator = random.Random(20)
    starts = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"GIF87a", b"BM"]
    for n in range(20_000):
        data = starts[n % len(starts)] + generator.randbytes(generator.randrange(64))
        try:
            header = image_header.read(data)
        except (BadHeader, UnknownFormat):
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
            image_header.read(bytes(data))
        except (BadHeader, UnknownFormat):
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
    with pytest.raises(BadHeader):
        image_header.read(data)


@pytest.mark.parametrize("data", [b"hello", b"RIFF\0\0\0\0WEBPVP8 ", b"II*\0", b"<svg/>", b"\0" * 100])
def test_other_formats(data: bytes) -> None:
    with pytest.raises(UnknownFormat):
        image_header.read(data)


def test_unusual_but_right() -> None:
    core = b"BM" + b"\0" * 12 + struct.pack("<IHHHH", 12, 7, 9, 1, 24)
    assert image_header.read(core).pixels == 63
    top_down = b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, 7, -9)
    assert image_header.read(top_down).height == 9
    filled = b"\xff\xd8\xff\xff\xff\x01\xff\xd0\xff\xc2\0\x11\x08\0\x09\0\x07\x03"
    assert (image_header.read(filled).width, image_header.read(filled).height) == (7, 9)


@pytest.mark.parametrize("filler", [b"\xff\x01", b"\xff", b"\xff\xe0\x00\x02"])
def test_a_body_of_markers_only_is_given_up_early(filler: bytes) -> None:
    class Counted(bytes):
        reads = 0

        def __getitem__(self, place: object) -> object:  # pyright: ignore
            Counted.reads += 1
            return super().__getitem__(place)  # pyright: ignore

    with pytest.raises(BadHeader):
        image_header.read(Counted(b"\xff\xd8\xff\xe0\x00\x02" + filler * 100_000))
    assert Counted.reads < 100_000
