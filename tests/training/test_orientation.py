"""A network gets images as Pillow's `exif_transpose` turns them, for every orientation in EXIF."""

import io
from typing import Any

import exif_blocks
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keraserve_models.preprocessing import decoders
from keraserve_models.preprocessing.decoding import Preparation, decode, upright

pytestmark = pytest.mark.usefixtures("tensorflow")
SIZE = (24, 36)  # height and width of the images here
ORIENTATIONS = range(1, 9)


def image(size: tuple[int, int] = SIZE) -> Image.Image:
    noise = np.random.default_rng(3).integers(0, 256, (3, 4, 3), np.uint8)
    return Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC)


def encoded(kind: str, drawn: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (drawn or image()).save(out, kind, **options)
    return out.getvalue()


def seen(data: bytes) -> np.ndarray[Any, Any]:
    """As Pillow shows it, upright."""
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def decoded(content: Any) -> Any:
    return upright(*decoders.decode(content, "it"))


JPEG, PNG, WEBP = encoded("JPEG"), encoded("PNG"), encoded("WEBP", lossless=True)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("thumbnail", [None, 3])
def test_every_orientation_in_every_format(orientation: int, order: str, thumbnail: int | None) -> None:
    block = exif_blocks.block(orientation, order, thumbnail=thumbnail)
    files = {
        "jpeg": exif_blocks.in_jpeg(JPEG, block),
        "after JFIF and a profile": exif_blocks.in_jpeg(
            JPEG[:2] + JPEG[20:], block, after=JPEG[2:20] + exif_blocks.segment(0xE2, bytes(60_000))
        ),
        "before data": exif_blocks.in_png(PNG, block),
        "after data": exif_blocks.in_png(PNG, block, at_the_end=True),
        "webp": encoded("WEBP", lossless=True, exif=b"Exif\0\0" + block),
        "bare webp": encoded("WEBP", lossless=True, exif=block),
    }
    for name, data in files.items():
        np.testing.assert_array_equal(decoded(data), seen(data), name)
        upright_shape = SIZE if orientation < 5 else SIZE[::-1]
        assert seen(data).shape[:2] == upright_shape, name


@pytest.mark.parametrize("kind", [3, 4])
def test_the_field_may_be_short_or_long(kind: int) -> None:
    for order in "<>":
        data = exif_blocks.in_jpeg(JPEG, exif_blocks.block(6, order, kind=kind))
        np.testing.assert_array_equal(decoded(data), seen(data))
        assert decoded(data).shape[:2] == SIZE[::-1]


def test_segments_that_few_files_have() -> None:
    block = exif_blocks.block(8)
    xmp = exif_blocks.segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0")
    for before in (b"\xff\xff\xff", b"\xff\x01", xmp):
        data = exif_blocks.in_jpeg(JPEG, block, after=before)
        assert decoded(data).shape[:2] == SIZE[::-1]


BLOCK = exif_blocks.block(6, ">")
DAMAGED = {
    "empty": b"",
    "two bytes": BLOCK[:2],
    "no directory": BLOCK[:8],
    "cut off before the field": BLOCK[:20],
    "neither order": b"XX" + BLOCK[2:],
    "another magic number": BLOCK[:3] + b"\x07" + BLOCK[4:],
    "a directory behind the end": BLOCK[:4] + b"\x7f\xff\xff\xff" + BLOCK[8:],
    "a directory far behind the end": BLOCK[:4] + b"\xff\xff\xff\xff" + BLOCK[8:],
    "orientation 0": exif_blocks.block(0),
    "orientation 9": exif_blocks.block(9),
    "orientation 65535": exif_blocks.block(65535),
    "only the thumbnail's": exif_blocks.block(9, thumbnail=6),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_block_is_ignored(name: str) -> None:
    for sound, data in (
        (JPEG, exif_blocks.in_jpeg(JPEG, DAMAGED[name])),
        (PNG, exif_blocks.in_png(PNG, DAMAGED[name])),
        (WEBP, encoded("WEBP", lossless=True, exif=DAMAGED[name] or b"x")),
    ):
        np.testing.assert_array_equal(decoded(data), seen(sound))


def test_random_blocks_never_stop_a_decoder() -> None:
    generator = np.random.default_rng(0)
    for _ in range(150):
        block = bytearray(exif_blocks.block(6, generator.choice(["<", ">"]), thumbnail=3))
        for place in generator.integers(0, len(block), 3):
            block[place] = generator.integers(256)
        shape = decoded(exif_blocks.in_jpeg(JPEG, bytes(block))).shape[:2]
        assert shape in (SIZE, SIZE[::-1])


@pytest.mark.parametrize("size", [(32, 32), (20, 44), (8, 8), (8, 14)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_gets_the_same_upright_or_turned(size: tuple[int, int], channels: int) -> None:
    """Images are turned after they were resized: larger or smaller, square or not, it is the same."""
    prepare = Preparation(size, channels)
    files = [exif_blocks.in_png(PNG, exif_blocks.block(orientation)) for orientation in ORIENTATIONS]
    upright_files = [encoded("PNG", Image.fromarray(seen(data))) for data in files]
    shape = (*size, channels)
    turned = decode(tf.constant(files), "images", prepare, shape)
    np.testing.assert_allclose(
        turned, decode(tf.constant(upright_files), "images", prepare, shape), atol=1e-3
    )
