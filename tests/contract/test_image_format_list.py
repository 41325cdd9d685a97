"""The list of image formats, compared with the decoders of the pinned TensorFlow."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keraserve_protocol import image_formats

_NOISE = np.random.default_rng(1).integers(0, 255, (9, 7, 3), dtype=np.uint8)
IMAGE = Image.fromarray(_NOISE).resize((48, 40), Image.Resampling.BICUBIC)
LOSSLESS = {"PNG": {}, "GIF": {}, "BMP": {}, "WebP": {"lossless": True}}
# 8 by 8 pixels of (200, 30, 90), without loss: Pillow can't write JPEG XL.
JPEG_XL = bytes.fromhex("ff0a4140407121080201005c004b188b15c249415e20028090a71a000000000000000000")
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'/>"


def encoded(kind: str, image: Image.Image = IMAGE, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def decoded(data: bytes) -> np.ndarray:
    """The pixels by TensorFlow, with the file's channels."""
    return tf.io.decode_image(data, channels=0, expand_animations=False).numpy()


def test_every_format_is_complete() -> None:
    for one in image_formats.FORMATS:
        assert one.media_types
        assert one.suffixes
        assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in one.suffixes)
        ends = [place + len(part) for signature in one.signatures for place, part in signature]
        assert max(ends) <= image_formats.SIGNATURE_BYTES
    assert image_formats.named() == "JPEG, PNG, GIF, BMP or WebP"


@pytest.mark.parametrize("listed", image_formats.FORMATS, ids=lambda one: one.name)
def test_each_format_of_the_list_decodes(listed: image_formats.ImageFormat) -> None:
    data = encoded(listed.name, **LOSSLESS.get(listed.name, {}))
    assert image_formats.find(data) == listed
    assert image_formats.find(data[: image_formats.SIGNATURE_BYTES]) == listed
    pixels = decoded(data)
    seen = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert pixels.shape == seen.shape
    # JPEG decoders may differ by some levels.
    assert np.abs(pixels.astype(int) - seen).max() <= (0 if listed.name in LOSSLESS else 12)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("AVIF", encoded("AVIF")),
        ("TIFF", encoded("TIFF")),
        ("JPEG 2000", encoded("JPEG2000")),
        ("ICO", encoded("ICO")),
        ("PPM", encoded("PPM")),
        ("HEIC", HEIC),
        ("SVG", SVG),
        ("RIFF of another kind", b"RIFF\x40\0\0\0WAVEfmt " + bytes(60)),
    ],
)
def test_a_format_outside_the_list_does_not_decode(name: str, data: bytes) -> None:
    assert image_formats.find(data) is None, name
    with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown image file format"):
        decoded(data)


def test_jpeg_xl_is_not_accepted_although_it_decodes() -> None:
    """A graph can't read its size, and so can't limit the pixels before it decodes."""
    assert decoded(JPEG_XL)[4, 4].tolist() == [200, 30, 90]
    assert image_formats.find(JPEG_XL) is None


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}], ids=str)
def test_an_animated_webp_decodes_once_its_header_says_that_it_has_alpha(options: dict[str, object]) -> None:
    """Without that, TensorFlow writes 4 channels into memory for 3, and the process may crash."""
    upside_down = IMAGE.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    data = encoded("WEBP", save_all=True, append_images=[upside_down], duration=100, **options)
    assert data[12:16] == b"VP8X"
    assert data[20] & 0x12 == 0x02  # animated, no alpha
    pixels = decoded(data[:20] + bytes([data[20] | 0x10]) + data[21:])
    assert np.array_equal(pixels[..., :3], np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert (pixels[..., 3] == 255).all()
