"""Images in every form become encoded bytes, from which the same pixels are decoded."""

import io
from pathlib import Path

import numpy as np
import pytest

from keraserve_client import InvalidInput
from keraserve_client import _images as images

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (7, 5, 1), (7, 5, 3), (7, 5, 4), (300, 2, 3)], ids=str)
def test_an_array_survives_png(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    [loaded] = images.load(array)
    assert loaded.media_type == "image/png"
    assert loaded.filename is None
    np.testing.assert_array_equal(decoded(loaded.data), array[..., 0] if shape[2:] == (1,) else array)


def test_a_strided_array_survives_png() -> None:
    array = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)[::-2, ::3, ::-1]
    np.testing.assert_array_equal(decoded(images.load(array)[0].data), array)


COLOURS = Image.fromarray(np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8))
ALPHA = Image.fromarray(np.random.default_rng(2).integers(0, 256, (5, 7), dtype=np.uint8))


def translucent() -> "Image.Image":
    image = COLOURS.convert("RGBA")
    image.putalpha(ALPHA)
    return image


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"])
def test_an_opaque_pil_image_of_any_mode(mode: str) -> None:
    image = COLOURS.convert(mode)
    [loaded] = images.load(image)
    sent = Image.open(io.BytesIO(loaded.data))
    np.testing.assert_array_equal(sent.convert("RGB"), image.convert("RGB"))


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBA", "RGBa"])
def test_transparency_of_a_pil_image_is_sent(mode: str) -> None:
    through = {"La": "LA", "PA": "P"}.get(mode, mode)
    image = translucent().convert(through).convert(mode)
    if mode == "PA":
        image.putalpha(ALPHA)
    [loaded] = images.load(image)
    sent = Image.open(io.BytesIO(loaded.data))
    wanted = (image.convert("LA") if mode == "La" else image).convert("RGBA")
    np.testing.assert_array_equal(sent.convert("RGBA"), wanted)
    assert np.asarray(sent.convert("RGBA"))[..., 3].min() < 255


@pytest.mark.parametrize("mode", ["P", "RGB", "L", "1"])
def test_a_transparent_colour_of_a_pil_image_is_sent(mode: str) -> None:
    image = COLOURS.convert(mode)
    image.info["transparency"] = image.getpixel((3, 2))
    [loaded] = images.load(image)
    sent = np.asarray(Image.open(io.BytesIO(loaded.data)).convert("RGBA"))
    np.testing.assert_array_equal(sent, image.convert("RGBA"))
    assert sent[2, 3, 3] == 0


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_a_pil_image_of_16_bits_stays_so(mode: str) -> None:
    levels = np.arange(0, 65536, 65536 // 35, dtype=np.uint16)[:35].reshape(5, 7)
    raw = levels.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
    [loaded] = images.load(Image.frombytes(mode, (7, 5), raw))
    np.testing.assert_array_equal(decoded(loaded.data), levels)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_pil_image_whose_values_have_no_range_is_rejected(mode: str) -> None:
    with pytest.raises(InvalidInput, match=f"image 1: the PIL image has mode {mode}, .*0 to 255"):
        images.load([COLOURS, Image.new(mode, (4, 3), 200)])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_a_pil_image_is_sent_upright(orientation: int, kind: str, endian: str) -> None:
    exif = Image.Exif()
    exif.endian = endian
    exif[0x0112] = orientation
    file = io.BytesIO()
    COLOURS.save(file, kind, exif=exif)
    seen = ImageOps.exif_transpose(Image.open(file))
    [loaded] = images.load(Image.open(file))
    sent = Image.open(io.BytesIO(loaded.data))
    np.testing.assert_array_equal(sent.convert("RGB"), seen.convert("RGB"))
    assert 0x0112 not in sent.getexif()  # else the model would turn it a second time


@pytest.mark.parametrize("mode", ["P", "CMYK", "RGBa", "I;16", "LA"])
def test_a_turned_pil_image_of_another_mode(mode: str) -> None:
    if mode == "I;16":
        image = Image.frombytes(mode, (3, 2), bytes(range(12)))
    else:
        image = translucent().convert("RGB" if mode in ("P", "CMYK") else "RGBA").convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info["exif"] = exif.tobytes()
    [loaded] = images.load(image)
    sent, seen = Image.open(io.BytesIO(loaded.data)), ImageOps.exif_transpose(image)
    alike = "I;16" if mode == "I;16" else "RGBA"
    np.testing.assert_array_equal(sent.convert(alike), seen.convert(alike))


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"garbage",
        b"MM\0*\0\0\0\x08\xff\xff",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x09\0\0\0\0\0\0",  # orientation 9
        b"MM\0*\0\0\0\x08\0\1\1\x12\0\2\0\0\0\2x\0\0\0\0\0\0\0",  # of text
    ],
)
def test_a_damaged_exif_block_has_no_orientation(block: bytes) -> None:
    file = io.BytesIO()
    COLOURS.save(file, "PNG", exif=b"Exif\0\0" + block)
    [loaded] = images.load(Image.open(file))
    np.testing.assert_array_equal(decoded(loaded.data), COLOURS)


def test_files_and_bytes_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8\xff anything")
    webp = b"RIFF\4\0\0\0WEBP"
    loaded = images.load([path, str(path), b"GIF89a", bytearray(b"BM" + bytes(16)), webp, memoryview(b"?")])
    assert [image.filename for image in loaded] == ["a.jpg", "a.jpg", None, None, None, None]
    assert [image.media_type for image in loaded] == [
        "image/jpeg", "image/jpeg", "image/gif", "image/bmp", "image/webp", "application/octet-stream",
    ]  # fmt: skip
    assert loaded[0].data == b"\xff\xd8\xff anything"


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((2, 2)), "holds float64; images are uint8, 0 to 255: scale and cast it"),
        (np.zeros((2, 2), np.uint16), "holds uint16; images are uint8"),
        (np.zeros((2, 2), np.bool_), "holds bool; images are uint8"),
        (np.zeros((2, 2, 2), np.uint8), r"shape \[2, 2, 2\] is no image"),
        (np.zeros((3, 2, 2, 3), np.uint8), "give several images as a list"),
        (np.ma.masked_all((2, 2), np.uint8), "has masked pixels; fill them first"),
        (np.zeros((0, 2), np.uint8), r"shape \[0, 2\] is no image"),
        (np.zeros(4, np.uint8), r"shape \[4\] is no image"),
        (7, "a int is no path, bytes, array or PIL image"),
        ([b"", None], "image 1: a NoneType is no path"),
    ],
)
def test_an_invalid_image_is_named(image: object, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        images.load(image)  # pyright: ignore[reportArgumentType]


def test_a_missing_file_is_pythons_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        images.load(tmp_path / "nothing.png")
