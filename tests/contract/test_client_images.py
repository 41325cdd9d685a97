"""One image as a path, as bytes, as a PIL image and as an array: the exported model sees the same pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keraserve_client import _images as images
from keraserve_training.exporting.decoding import Preparation, decode

SIZE = (24, 24)
_NOISE = np.random.default_rng(3).integers(0, 256, (5, 6, 4), dtype=np.uint8)
PHOTO = Image.fromarray(_NOISE[..., :3]).resize((48, 40), Image.Resampling.BICUBIC)
ALPHA = Image.fromarray(_NOISE[..., 3]).resize((48, 40), Image.Resampling.BICUBIC)
GREY_16 = Image.fromarray((np.arange(1920, dtype=np.uint16) * 34).reshape(40, 48))


def translucent() -> Image.Image:
    image = PHOTO.convert("RGBA")
    image.putalpha(ALPHA)
    return image


def encoded(kind: str, image: Image.Image = PHOTO, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))


PALETTE = PHOTO.quantize(16)
FILES = {
    **{f"jpeg, orientation {one}": turned("JPEG", one) for one in range(1, 9)},
    "png, orientation 6": turned("PNG", 6),
    "webp, orientation 5": turned("WEBP", 5),
    "grey jpeg": encoded("JPEG", PHOTO.convert("L")),
    "progressive jpeg": encoded("JPEG", progressive=True, quality=60),
    "png with alpha": encoded("PNG", translucent()),
    "grey png with alpha": encoded("PNG", translucent().convert("LA")),
    "png with a palette": encoded("PNG", PALETTE),
    "png with a palette, one colour transparent": encoded("PNG", PALETTE, transparency=3),
    "png with a palette, some translucent": encoded("PNG", PALETTE, transparency=bytes(range(0, 256, 16))),
    "png, one colour transparent": encoded("PNG", PHOTO, transparency=PHOTO.getpixel((5, 5))),
    "grey png, one level transparent": encoded("PNG", PHOTO.convert("L"), transparency=120),
    "png of 1 bit": encoded("PNG", PHOTO.convert("1")),
    "png of 16 bits": encoded("PNG", GREY_16),
    "gif": encoded("GIF", PALETTE),
    "transparent gif": encoded("GIF", PALETTE, transparency=3),
    "animated gif": encoded("GIF", PALETTE, save_all=True, append_images=[PALETTE.rotate(90)]),
    "bmp": encoded("BMP"),
    "grey bmp": encoded("BMP", PHOTO.convert("L")),
    "bmp of 32 bits": encoded("BMP", translucent()),
    "webp": encoded("WEBP"),
    "webp with alpha": encoded("WEBP", translucent(), lossless=True),
    "animated webp": encoded("WEBP", save_all=True, append_images=[PHOTO.rotate(90)], duration=50),
}


def array_of(image: Image.Image) -> np.ndarray:
    """The uint8 array that somebody makes of an image who sees to its orientation and transparency."""
    image = ImageOps.exif_transpose(image)
    if image.mode == "I;16":
        return (np.asarray(image) >> 8).astype(np.uint8)
    if image.has_transparency_data:
        return np.asarray(image.convert("RGBA"))
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))


@pytest.fixture(scope="module")
def model() -> tf.types.experimental.GenericFunction:
    prepare = Preparation(SIZE, 3)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def seen(encoded: tf.Tensor) -> tf.Tensor:
        return decode(encoded, "image_bytes", prepare, (*SIZE, 3))

    return seen


@pytest.mark.parametrize("name", FILES)
def test_every_form_of_an_image_is_seen_alike(
    model: tf.types.experimental.GenericFunction, tmp_path: Path, name: str
) -> None:
    data = FILES[name]
    path = tmp_path / "image"
    path.write_bytes(data)
    forms = [path, data, Image.open(io.BytesIO(data)), array_of(Image.open(io.BytesIO(data)))]
    as_path, *others = model([one.data for one in images.load(forms)]).numpy()
    for form, other in zip(("bytes", "a PIL image", "an array"), others, strict=True):
        # Turned before it is resized or afterwards: sums of floats in another order.
        np.testing.assert_allclose(other, as_path, atol=1e-3, err_msg=form)


def test_a_cmyk_jpeg_is_seen_nearly_alike(model: tf.types.experimental.GenericFunction) -> None:
    """Its four colours become three by rounding twice here and once there."""
    data = encoded("JPEG", PHOTO.convert("CMYK"), quality=95)
    as_bytes, as_pil = model([one.data for one in images.load([data, Image.open(io.BytesIO(data))])]).numpy()
    assert np.abs(as_bytes - as_pil).max() <= 2
