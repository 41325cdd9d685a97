"""Pictures in every form become encoded bytes, and arrays come back out of them without loss."""

import io
from pathlib import Path

import numpy as np
import pytest

from keraserve_client import InvalidInput
from keraserve_client import _images as images

Image = pytest.importorskip("PIL.Image")


def decoded(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (7, 5, 1), (7, 5, 3), (7, 5, 4), (300, 2, 3)], ids=str)
def test_an_array_survives_png(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    [picture] = images.load(array)
    assert picture.media_type == "image/png"
    assert picture.filename is None
    np.testing.assert_array_equal(decoded(picture.data), array[..., 0] if shape[2:] == (1,) else array)


def test_a_strided_array_survives_png() -> None:
    array = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)[::-2, ::3, ::-1]
    np.testing.assert_array_equal(decoded(images.load(array)[0].data), array)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_a_pil_image_of_any_mode(mode: str) -> None:
    image = Image.new(mode, (4, 3))
    [picture] = images.load(image)
    assert decoded(picture.data).shape[:2] == (3, 4)


def test_files_and_bytes_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8\xff anything")
    loaded = images.load([path, str(path), b"GIF89a", bytearray(b"BM"), memoryview(b"?")])
    assert [picture.filename for picture in loaded] == ["a.jpg", "a.jpg", None, None, None]
    assert [picture.media_type for picture in loaded] == [
        "image/jpeg", "image/jpeg", "image/gif", "image/bmp", "application/octet-stream",
    ]  # fmt: skip
    assert loaded[0].data == b"\xff\xd8\xff anything"


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((2, 2)), "holds float64; pictures are uint8"),
        (np.zeros((2, 2, 2), np.uint8), r"shape \[2, 2, 2\] is no picture"),
        (np.zeros((3, 2, 2, 3), np.uint8), "give several pictures as a list"),
        (np.zeros((0, 2), np.uint8), r"shape \[0, 2\] is no picture"),
        (np.zeros(4, np.uint8), r"shape \[4\] is no picture"),
        (7, "a int is no path, bytes, array or PIL image"),
        ([b"", None], "picture 1: a NoneType is no path"),
    ],
)
def test_what_is_no_picture_is_named(image: object, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        images.load(image)  # pyright: ignore[reportArgumentType]


def test_a_missing_file_is_pythons_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        images.load(tmp_path / "nothing.png")
