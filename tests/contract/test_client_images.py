"""One image as a path, as bytes, as a PIL image and as an array: the exported model sees the same pixels."""

import io
import struct
from pathlib import Path

import exif_blocks
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from keraserve_client import _exif
from keraserve_client import _images as images
from keraserve_models.preprocessing.decoders import exif
from keraserve_models.preprocessing.decoding import Preparation, decode

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
    "bmp with two bytes behind its rows": encoded("BMP") + b"\0\0",
    "webp": encoded("WEBP"),
    "webp with alpha": encoded("WEBP", translucent(), lossless=True),
    "animated webp": encoded("WEBP", save_all=True, append_images=[PHOTO.rotate(90)], duration=50),
}


def array_of(image: Image.Image) -> np.ndarray:
    """The uint8 array of an image, upright and with its transparency."""
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
def test_the_model_sees_the_same_pixels_in_every_form(
    model: tf.types.experimental.GenericFunction, tmp_path: Path, name: str
) -> None:
    data = FILES[name]
    path = tmp_path / "image"
    path.write_bytes(data)
    forms = [path, data, Image.open(io.BytesIO(data)), array_of(Image.open(io.BytesIO(data)))]
    as_path, *others = model([one.data for one in images.load(forms)]).numpy()
    for form, other in zip(("bytes", "a PIL image", "an array"), others, strict=True):
        # Turned before or after it is resized, so floats are added in another order.
        np.testing.assert_allclose(other, as_path, atol=1e-3, err_msg=form)


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)
TURNED = exif_blocks.block(6)


def png_with_text(name: str, text: str) -> bytes:
    carried = PngInfo()
    carried.add_itxt(name, text)
    return encoded("PNG", pnginfo=carried)


# Images that Pillow's `exif_transpose` turns and browsers don't (Chromium was tried; both read one SHORT).
TURNED_BY_PILLOW_ALONE = {
    "jpeg, two values": exif_blocks.in_jpeg(encoded("JPEG"), exif_blocks.block(6, count=2)),
    "jpeg, two long values": exif_blocks.in_jpeg(encoded("JPEG"), exif_blocks.block(6, kind=4, count=2)),
    "png, two values": exif_blocks.in_png(encoded("PNG"), exif_blocks.block(6, "<", count=2)),
    "jpeg, XMP": encoded("JPEG", xmp=XMP.encode()),
    "webp, XMP": encoded("WEBP", lossless=True, xmp=XMP.encode()),
    "png, XMP": png_with_text("XML:com.adobe.xmp", XMP),
    "png, a text of ImageMagick's": png_with_text(
        "Raw profile type exif", f"\nexif\n{len(TURNED):8}\n{TURNED.hex()}\n"
    ),
}


@pytest.mark.filterwarnings("ignore:Metadata Warning")  # of Pillow
@pytest.mark.parametrize("name", TURNED_BY_PILLOW_ALONE)
def test_an_orientation_that_browsers_ignore_is_ignored(
    model: tf.types.experimental.GenericFunction, name: str
) -> None:
    data = TURNED_BY_PILLOW_ALONE[name]
    forms = [data, Image.open(io.BytesIO(data)), np.asarray(Image.open(io.BytesIO(data)))]
    as_bytes, as_pil, as_stored = model([one.data for one in images.load(forms)]).numpy()
    np.testing.assert_allclose(as_pil, as_bytes, atol=1e-3)
    np.testing.assert_allclose(as_bytes, as_stored, atol=1e-3)


def test_an_orientation_after_the_pixels_is_followed(model: tf.types.experimental.GenericFunction) -> None:
    data = exif_blocks.in_png(encoded("PNG"), TURNED, at_the_end=True)
    forms = [data, Image.open(io.BytesIO(data)), np.rot90(np.asarray(PHOTO), -1)]
    as_bytes, as_pil, wanted = model([one.data for one in images.load(forms)]).numpy()
    np.testing.assert_allclose(as_pil, as_bytes, atol=1e-3)
    np.testing.assert_allclose(as_bytes, wanted, atol=1e-3)


def test_client_and_model_read_every_exif_block_alike() -> None:
    blocks = [
        exif_blocks.block(orientation, order, kind=kind, count=count)
        for orientation in (1, 3, 6, 8, 9, 65535)
        for order in "<>"
        for kind in (1, 3, 4, 8, 9)
        for count in (0, 1, 2, 3)
    ]
    generator = np.random.default_rng(5)
    for start in list(blocks):
        block = bytearray(start)
        for place in generator.integers(0, len(block), 2):
            block[place] = generator.choice([0, 1, 3, 6, 8, 255])
        blocks += [bytes(block[: generator.integers(4, len(block) + 1)]), b"Exif\0\0" + bytes(block)]
    read = tf.function(exif.orientation, [tf.TensorSpec([], tf.string)])
    by_model = [int(read(block)) for block in blocks]
    assert [_exif.orientation(block) for block in blocks] == by_model
    assert set(by_model) >= {1, 3, 6, 8}


def small_first_frame(*, of_two: bool = False, transparency: int | None = None) -> bytes:
    """A GIF of 20 by 16 pixels, whose first frame has 8 by 6."""
    options = {} if transparency is None else {"transparency": transparency}
    frame = encoded("GIF", PHOTO.resize((8, 6)).quantize(8), optimize=False, **options)
    table = 13 + 3 * 8
    start = frame.index(b"\x2c\0\0\0\0")
    lain = frame[table:start] + b"\x2c" + struct.pack("<HH", 9, 7) + frame[start + 5 : -1]
    head = b"GIF89a" + struct.pack("<HH", 20, 16) + frame[10:table]
    return head + lain * (2 if of_two else 1) + b";"


@pytest.mark.parametrize("transparency", [None, 2])
@pytest.mark.parametrize("of_two", [False, True])
def test_a_gif_whose_first_frame_is_small_is_white_around_it(
    model: tf.types.experimental.GenericFunction, *, of_two: bool, transparency: int | None
) -> None:
    data = small_first_frame(of_two=of_two, transparency=transparency)
    opened = Image.open(io.BytesIO(data))
    wanted = Image.new("RGB", (20, 16), "white")
    frame = opened.convert("RGBA").crop((9, 7, 17, 13))
    wanted.paste(frame, (9, 7), frame)
    forms = [data, Image.open(io.BytesIO(data)), np.asarray(wanted)]
    as_bytes, as_pil, as_seen = model([one.data for one in images.load(forms)]).numpy()
    np.testing.assert_allclose(as_bytes, as_seen, atol=1e-3)
    np.testing.assert_allclose(as_pil, as_seen, atol=1e-3)


def test_a_tiff_is_turned_once(model: tf.types.experimental.GenericFunction) -> None:
    """Pillow turns it when it reads it; a TIFF is accepted only as a PIL image."""
    tags = Image.Exif()
    tags[0x0112] = 6
    data = encoded("TIFF", exif=tags)
    forms = [Image.open(io.BytesIO(data)), np.rot90(np.asarray(PHOTO), -1)]
    as_pil, wanted = model([one.data for one in images.load(forms)]).numpy()
    np.testing.assert_allclose(as_pil, wanted, atol=1e-3)


def test_a_cmyk_jpeg_has_nearly_the_same_pixels(model: tf.types.experimental.GenericFunction) -> None:
    """Its four colours become three with two roundings here, and with one there."""
    data = encoded("JPEG", PHOTO.convert("CMYK"), quality=95)
    as_bytes, as_pil = model([one.data for one in images.load([data, Image.open(io.BytesIO(data))])]).numpy()
    assert np.abs(as_bytes - as_pil).max() <= 2
