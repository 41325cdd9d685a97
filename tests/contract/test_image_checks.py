"""The gateway's image checks reject only images that TensorFlow's decoders reject too."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from encoded_images import png_file
from PIL import Image

from keraserve_protocol import image_files

_NOISE = np.random.default_rng(1).integers(0, 255, (48, 48, 3), dtype=np.uint8)
PHOTO = Image.fromarray(_NOISE).resize((16, 16)).resize((48, 48))


def encoded(kind: str, image: Image.Image = PHOTO, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def rotated(kind: str, colours: int = 16) -> bytes:
    frames = [PHOTO.rotate(30 * n).quantize(colours) for n in range(3)]
    return encoded(kind, frames[0], save_all=True, append_images=frames[1:])


def translucent() -> Image.Image:
    image = PHOTO.convert("RGBA")
    image.putalpha(Image.fromarray(_NOISE[..., 0]))
    return image


def with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", exif=exif, icc_profile=bytes(70_000), comment=b"c" * 500)


def interlaced() -> bytes:
    """Write a PNG in Adam7's seven passes."""
    side = 11
    rows = b""
    for adam7 in ("0088", "4088", "0448", "2044", "0224", "1022", "0112"):
        left, top, across, down = map(int, adam7)
        width = len(range(left, side, across))
        rows += (b"\0" + bytes(range(width))) * len(range(top, side, down)) if width else b""
    return png_file(side, side, zlib.compress(rows), colour=0, interlaced=1)


IMAGES = {
    "jpeg": encoded("JPEG"),
    "progressive": encoded("JPEG", progressive=True),
    "restart markers": encoded("JPEG", restart_marker_blocks=1),
    "grey jpeg": encoded("JPEG", PHOTO.convert("L")),
    "cmyk": encoded("JPEG", PHOTO.convert("CMYK")),
    "exif": with_exif(),
    "bytes after a jpeg": encoded("JPEG") + b"\xff\xd8" + encoded("PNG"),
    "png": encoded("PNG"),
    "palette": encoded("PNG", PHOTO.quantize(32), transparency=0),
    "one bit": encoded("PNG", PHOTO.convert("1")),
    "sixteen bits": encoded("PNG", Image.fromarray(_NOISE[..., 0].astype(np.uint16) * 200)),
    "alpha": encoded("PNG", PHOTO.convert("RGBA")),
    "apng": rotated("PNG"),
    "interlaced": interlaced(),
    "bytes after a png": encoded("PNG") + b"more",
    "gif": encoded("GIF", PHOTO.quantize(16)),
    "animated": rotated("GIF"),
    "gif without its end": encoded("GIF", PHOTO.quantize(16))[:-1],
    "bmp": encoded("BMP"),
    "grey bmp": encoded("BMP", PHOTO.convert("L")),
    "bmp with alpha": encoded("BMP", PHOTO.convert("RGBA")),
    "bytes after a bmp": encoded("BMP") + b"\0\0",
    "webp": encoded("WEBP"),
    "lossless webp": encoded("WEBP", lossless=True),
    "webp with alpha": encoded("WEBP", translucent()),
    "extended webp": encoded("WEBP", icc_profile=bytes(3001), exif=Image.Exif(), xmp=b"x" * 33),
    "animated webp": rotated("WEBP"),
    "animated webp with alpha": encoded(
        "WEBP", translucent(), save_all=True, append_images=[translucent().rotate(30)]
    ),
    "bytes after a webp": encoded("WEBP") + b"more",
}


def decodes(data: bytes) -> bool:
    try:
        # As the gateway sends it: TensorFlow might not survive an animated WebP as it is.
        sent = image_files.decodable(data)
        tf.io.decode_image(sent, channels=0, expand_animations=False)
    except (tf.errors.InvalidArgumentError, struct.error):  # the latter: too short a BMP
        return False
    return True


def passes(data: bytes) -> bool:
    try:
        image_files.check(data, image_files.read(data))
    except (image_files.BadImage, image_files.UnknownFormat):
        return False
    return True


def is_misread(broken: bytes, data: bytes) -> bool:
    """Say whether a BMP's header or palette was damaged: TensorFlow may misread its pixels then."""
    (rows,) = struct.unpack_from("<I", data, 10)
    return data.startswith(b"BM") and broken[:rows] != data[:rows]


def damaged(data: bytes, generator: random.Random) -> bytes:
    """One byte is another, some are missing or too many, or the end is cut off."""
    place, count = generator.randrange(len(data)), generator.randrange(1, 40)
    kind = generator.randrange(4)
    replacement = (generator.randbytes(1), b"", generator.randbytes(count), b"")[kind]
    end = (place + 1, place + count, place, len(data))[kind]
    return data[:place] + replacement + data[end:]


@pytest.mark.shows("size, frames and structure")
@pytest.mark.parametrize("name", IMAGES)
def test_an_image_that_decodes_passes(name: str) -> None:
    data, generator = IMAGES[name], random.Random(name)
    assert decodes(data)
    assert passes(data)
    for _ in range(60):
        broken = damaged(data, generator)
        assert passes(broken) or not decodes(broken) or is_misread(broken, data)


@pytest.mark.shows("size, frames and structure")
def test_a_truncated_image_does_not_pass() -> None:
    for name in ("jpeg", "progressive", "png", "palette", "gif", "bmp", "webp", "lossless webp"):
        data = IMAGES[name]
        for end in range(0, len(data) - 2, max(1, len(data) // 50)):
            assert not passes(data[:end]), (name, end)
