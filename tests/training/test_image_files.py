"""Encoded files: what a network gets from them is what the exported model makes of the same bytes."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keraserve_models.preprocessing.decoding import Preparation, decode
from keraserve_training.data import image_files, prepared
from keraserve_training.data.dataset import Dataset
from keraserve_training.data.image_files import ImageFiles
from keraserve_training.data.images import Images
from keraserve_training.errors import DataUnavailableError

pytestmark = pytest.mark.usefixtures("tensorflow")
SIZE = 32
# name of the file, Pillow's mode
KINDS = {
    "colours.jpg": "RGB",
    "small.jpg": "RGB",
    "grey.jpg": "L",
    "print.jpg": "CMYK",
    "colours.png": "RGB",
    "grey.png": "L",
    "deep.png": "I;16",
    "transparent.png": "RGBA",
    "grey transparent.png": "LA",
    "palette.png": "P",
    "bits.png": "1",
    "moving.gif": "P",
    "colours.bmp": "RGB",
    "transparent.webp": "RGBA",
    "grey ä.bmp": "L",
}


def quiet(_: str) -> None:
    pass


def draw(path: Path, mode: str, size: tuple[int, int] = (60, 40)) -> None:
    values = np.random.default_rng(len(path.name)).integers(0, 256, (5, 6, 3), np.uint8)
    image = Image.fromarray(values).resize(size)
    if mode == "I;16":
        grey = np.asarray(image.convert("L"), np.uint16)
        image = Image.fromarray(grey * 256 + 255 - grey)
    else:
        image = image.convert(mode)
    if path.suffix == ".gif":
        image.save(path, save_all=True, append_images=[image.rotate(180)])
    else:
        image.save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for name, mode in KINDS.items():
        draw(folder / name, mode, (20, 30) if "small" in name else (60, 40))
    return folder


@pytest.fixture
def files(folder: Path) -> ImageFiles:
    paths = tuple(folder / name for name in KINDS)
    return ImageFiles(paths, np.arange(len(paths), dtype=np.int32), root=folder)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_gets_what_the_exported_model_makes_of_the_same_bytes(
    files: ImageFiles, channels: int
) -> None:
    shape = (SIZE, SIZE, channels)
    served = decode(
        tf.constant([file.read_bytes() for file in files.files]),
        "images",
        Preparation(shape[:2], channels),
        shape,
    )
    given = ImageFiles(files.files, files.labels, (SIZE, SIZE), channels)
    images, labels = zip(*given.batches(np.arange(len(given)), 4), strict=True)
    assert [len(batch) for batch in images] == [4, 4, 4, 3]
    assert given.shape == shape
    np.testing.assert_allclose(np.concatenate(images), served, atol=1e-4)
    np.testing.assert_array_equal(np.concatenate(labels), files.labels)


def test_batches_have_the_requested_order(files: ImageFiles) -> None:
    order = np.random.default_rng(0).permutation(len(files)).repeat(5)
    labels = [int(label) for _, batch in files.sized(8).batches(order, 3) for label in batch]
    assert labels == order.tolist()
    assert files.sized(8).batches(order, 3).options().autotune.enabled is False


def test_without_a_size_there_are_no_batches(files: ImageFiles) -> None:
    with pytest.raises(ValueError, match="sized"):
        files.batches(np.arange(2), 2)


def test_people_see_the_images_as_they_are(files: ImageFiles) -> None:
    shown = files.sized(8).show(np.array([1, 0, 2]))
    assert [image.shape for image in shown] == [(30, 20, 3), (40, 60, 3), (40, 60, 1)]
    assert all(image.dtype == np.uint8 and image.shape[2] in (1, 3) for image in files.show(files.labels))


def test_selected_images_are_still_files(files: ImageFiles) -> None:
    two = files.sized(8).only([5, 3])
    assert [file.name for file in two.files] == ["print.jpg", "grey.png"]
    assert two.labels.tolist() == [1, 0]
    assert two.shape == (8, 8, 3)


def test_the_digest_sees_bytes_labels_order_and_size_but_not_names(files: ImageFiles, tmp_path: Path) -> None:
    copies = [tmp_path / f"{number}" for number in range(len(files))]
    for file, copy in zip(files.files, copies, strict=True):
        copy.write_bytes(file.read_bytes())
    copied = ImageFiles(tuple(copies), files.labels)
    assert copied.digest() == files.digest()

    flipped = bytearray(copies[0].read_bytes())
    flipped[-1] ^= 1
    copies[0].write_bytes(flipped)
    others = (
        copied,
        files.sized(8),
        files.sized(9),
        files.relabelled(files.labels[::-1]),
        files.select(np.arange(len(files))[::-1]).relabelled(files.labels),
    )
    assert len({files.digest(), *(other.digest() for other in others)}) == 6


def test_a_file_that_has_gone_is_named(files: ImageFiles, tmp_path: Path) -> None:
    gone = ImageFiles((*files.files, tmp_path / "gone.jpg"), np.zeros(len(files) + 1, np.int32))
    with pytest.raises(DataUnavailableError, match=r"gone\.jpg"):
        gone.digest()
    with pytest.raises(tf.errors.NotFoundError, match=r"gone\.jpg"):
        list(gone.sized(8).batches(np.array([len(files)]), 1))


def test_in_memory_they_are_the_same(files: ImageFiles) -> None:
    loaded = files.sized(8).loaded(quiet)
    assert isinstance(loaded, Images)
    assert loaded.shape == (8, 8, 3)
    ((ours, _),) = loaded.batches(np.arange(len(files)), len(files))
    ((theirs, _),) = files.sized(8).batches(np.arange(len(files)), len(files))
    np.testing.assert_array_equal(ours, theirs)


def test_in_memory_they_take_a_byte_a_value_where_nothing_was_resized(folder: Path, tmp_path: Path) -> None:
    for number in range(3):
        draw(tmp_path / f"{number}.png", "RGB", (8, 8))
    labels = np.zeros(3, np.int32)
    exact = ImageFiles(tuple(sorted(tmp_path.iterdir())), labels, (8, 8))
    data = Dataset("x", "folder", "x", ("x",), exact, exact).loaded(quiet)
    assert isinstance(data.train, Images)
    assert data.train.images.dtype == np.uint8
    np.testing.assert_array_equal(data.train.images, np.stack(exact.show(np.arange(3))))


def test_what_does_not_fit_into_memory_stays_where_it_is(
    files: ImageFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_files, "_LOADED_BYTES", 8 * 8 * 3 * 4 * len(files))
    assert isinstance(files.sized(8).loaded(quiet), Images)
    large = files.sized(9)
    assert large.loaded(quiet) is large


def test_files_that_the_decoder_can_not_read_are_found(files: ImageFiles, tmp_path: Path) -> None:
    bad = {name: tmp_path / name for name in ("cut.jpg", "almost.jpg", "cut.png", "empty.jpg", "text.jpg")}
    jpeg, png = (next(file for file in files.files if file.suffix == end) for end in (".jpg", ".png"))
    bad["cut.jpg"].write_bytes(jpeg.read_bytes()[:400])
    bad["almost.jpg"].write_bytes(jpeg.read_bytes()[:-9])
    bad["cut.png"].write_bytes(png.read_bytes()[:-20])
    bad["empty.jpg"].write_bytes(b"")
    bad["text.jpg"].write_text("not an image")
    paths = [*files.files, *bad.values(), tmp_path, tmp_path / "nowhere.jpg"]
    expected = [True] * len(files) + [False] * (len(bad) + 2)
    assert image_files.decodable(paths).tolist() == expected


def test_names_that_are_no_utf_8(files: ImageFiles, tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xfcn.jpg"))
    path.write_bytes(files.files[0].read_bytes())
    named = ImageFiles((path,), np.zeros(1, np.int32), (8, 8))
    assert image_files.decodable([path]).all()
    assert len(list(named.batches(np.arange(1), 1))) == 1
    assert len(named.digest()) == 64


def test_copies_of_large_files_give_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (3, 150, 200, 3), dtype=np.uint8)
    files = tuple(tmp_path / f"{number}.jpg" for number in range(4))
    for file, pixels in zip(files, noise, strict=False):
        Image.fromarray(pixels).save(file, quality=95)
    Image.fromarray(noise[0, :8, :8]).save(files[3])  # too small to have one
    images = ImageFiles(files, np.zeros(4, np.int32), root=tmp_path).sized(20)
    kept = replace(images, copies=tmp_path / "copies")

    def pixels(of: ImageFiles) -> Any:
        return next(iter(of.batches(np.arange(len(of)), 4)))[0].numpy()

    wanted = pixels(images)
    np.testing.assert_array_equal(pixels(kept), wanted)
    copies = sorted((tmp_path / "copies").iterdir())
    assert len(copies) == 3
    for file in files[:3]:  # what is read now are the copies
        about = file.stat()
        file.write_bytes(bytes(about.st_size))
        os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    np.testing.assert_array_equal(pixels(kept), wanted)
    for file, own in zip(files, noise, strict=False):
        Image.fromarray(own).save(file, quality=95)
    copies[0].write_bytes(copies[0].read_bytes()[:-1] + b"?")
    copies[1].write_bytes(b"")
    np.testing.assert_array_equal(pixels(kept), wanted)
    assert kept.digest() == images.digest()

    monkeypatch.setattr(prepared, "MOST_BYTES", 2 * 4 * 40 * 40 * 3)
    np.testing.assert_array_equal(pixels(kept.sized(40)), pixels(images.sized(40)))
    assert sum(file.stat().st_size for file in copies[0].parent.iterdir()) <= prepared.MOST_BYTES


def test_no_copy_is_kept_of_a_file_that_changed_meanwhile(tmp_path: Path) -> None:
    file, copies = tmp_path / "a.png", prepared.Copies(tmp_path, (1, 1, 3))
    file.write_bytes(b"other bytes")
    place = copies.path(hashlib.sha256(b"first bytes").digest())
    copies.write(os.fsencode(place), os.fsencode(file), np.zeros((1, 1, 3), np.float32))
    assert not place.exists()
    file.write_bytes(b"first bytes")
    copies.write(os.fsencode(place), os.fsencode(file), np.zeros((1, 1, 3), np.float32))
    assert place.exists()
