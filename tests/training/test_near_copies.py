"""Images that look the same are found, others are not, and no split divides them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from drawn_folders import scene
from PIL import Image, ImageEnhance

from keraserve_training.data import datasets, image_files, near_copies
from keraserve_training.data.dataset import Dataset
from keraserve_training.data.examples import draw, split
from keraserve_training.data.image_files import ImageFiles
from keraserve_training.data.images import Images
from keraserve_training.profiles import FULL

pytestmark = pytest.mark.usefixtures("tensorflow")

ALIKE: dict[str, Callable[[Image.Image, Path], None]] = {
    "the same": lambda image, file: image.save(file, "PNG"),
    "poor JPEG": lambda image, file: image.save(file, "JPEG", quality=20),
    "half": lambda image, file: image.resize((image.width // 2, image.height // 2)).save(file, "PNG"),
    "grey": lambda image, file: image.convert("L").save(file, "PNG"),
    "duller": lambda image, file: ImageEnhance.Contrast(image).enhance(0.7).save(file, "PNG"),
    "turned": lambda image, file: image.rotate(90, expand=True).save(file, "JPEG", exif=_turned_back()),
}
OTHER: dict[str, Callable[[Image.Image, Path], None]] = {
    "mirrored": lambda image, file: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(file, "PNG"),
    "another": lambda _, file: scene(1000).save(file, "PNG"),
    "quarter": lambda image, file: image.crop((0, 0, 60, 45)).save(file, "PNG"),
}


def _turned_back() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn to the right
    return exif


def groups(*files: Path) -> list[int]:
    """Of images whose files differ."""
    contents = [str(file).encode() for file in files]
    return near_copies.groups(contents, image_files.greys(files)).tolist()


@pytest.mark.parametrize("how", [*ALIKE, *OTHER])
def test_the_same_photograph_in_another_form_is_found(how: str, tmp_path: Path) -> None:
    for seed in range(5):
        image, file, other = scene(seed), tmp_path / f"{seed}.png", tmp_path / f"{seed} other"
        image.save(file)
        (ALIKE | OTHER)[how](image, other)
        assert groups(file, other) == [0, 0 if how in ALIKE else 1]


def test_of_different_drawings_no_two_look_the_same(tmp_path: Path) -> None:
    files = [tmp_path / f"{seed}.png" for seed in range(100)]
    for seed, file in enumerate(files):
        scene(seed).save(file)
    assert groups(*files) == [*range(100)]


def test_images_of_one_colour_are_not_compared(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.png" for name in ("red", "blue", "none")]
    for file in files[:2]:
        Image.new("RGB", (20, 20), file.stem).save(file)
    assert image_files.greys(files)[:, 0, 0].tolist() == [76, 29, 0]
    assert groups(*files) == [0, 1, 2]


def test_hashes_are_those_of_the_field() -> None:
    # imagehash 4.3.2: str(phash(Image.fromarray(image)))
    image = np.random.default_rng(7).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    assert [each.tobytes().hex() for each in near_copies.hashes(image)] == [
        "ed5c8c5bc0433cb9",
        "a9880bb8f7b2359a",
    ]


def test_groups_join_copies_and_those_that_look_the_same() -> None:
    one, other = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    darker = (one * 0.8).astype(np.uint8)
    greys = np.stack([other, one, darker, one, other // 2, one])
    contents = [b"a", b"b", b"c", b"b", b"d", b"b"]
    assert near_copies.groups(contents, greys).tolist() == [0, 1, 1, 1, 0, 1]


def test_many_frames_of_one_film_are_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_copies, "_HASHES", 1000)
    monkeypatch.setattr(near_copies, "_IMAGES", 10)
    generator = np.random.default_rng(0)
    films = generator.integers(20, 230, (2, 1, 32, 32))
    frames = (films + generator.integers(-4, 5, (2, 60, 32, 32))).astype(np.uint8).reshape(-1, 32, 32)
    contents = [bytes([number]) for number in range(120)]
    assert near_copies.groups(contents, frames).tolist() == [0] * 60 + [60] * 60
    assert near_copies.groups([], frames[:0]).tolist() == []


def numbered(labels: list[int], groups: list[int]) -> Images:
    """The value of an image is its place."""
    pixels = np.arange(len(labels), dtype=np.float32).reshape(-1, 1, 1, 1)
    return Images(pixels, np.array(labels, np.int32), groups=np.array(groups))


def test_no_split_divides_a_group() -> None:
    generator = np.random.default_rng(3)
    groups = np.sort(generator.integers(0, 60, 200)).tolist()
    labels = [group % 3 for group in groups]
    for seed in range(20):
        rest, aside = split(numbered(labels, groups), 0.2, seed)
        assert not {*rest.groups.tolist()} & {*aside.groups.tolist()}
        assert 30 <= len(aside) <= 50
        assert {*aside.labels.tolist()} == {*rest.labels.tolist()} == {0, 1, 2}
        values = [int(value) for part in (rest, aside) for value in part.images.ravel()]
        assert sorted(values) == list(range(200))


def test_a_group_in_two_classes_is_not_divided() -> None:
    labels, groups = [0] * 20 + [1] * 20, [*range(20), *range(10), *range(20, 30)]
    for seed in range(20):
        rest, aside = split(numbered(labels, groups), 0.3, seed)
        assert not {*rest.groups.tolist()} & {*aside.groups.tolist()}


def test_a_large_group_stays_with_the_rest_and_a_class_that_is_one_group_is_divided() -> None:
    rest, aside = split(numbered([0] * 12, [0] * 9 + [1, 2, 3]), 0.2, seed=0)
    assert (len(rest), {*aside.groups.tolist()} <= {1, 2, 3}) == (12 - len(aside), True)
    assert [len(part) for part in split(numbered([0] * 10, [0] * 10), 0.2, seed=0)] == [8, 2]


def test_without_copies_what_is_drawn_is_what_was_drawn_before() -> None:
    labels = np.random.default_rng(1).integers(0, 4, 100).astype(np.int32)
    for count in (1, 7, 50, 99, 100):
        np.testing.assert_array_equal(draw(labels, count, 5), draw(labels, count, 5, np.arange(100)))


def photographs(folder: Path, *names: str, start: int = 0) -> None:
    """A PNG of a scene for each name: `cat/1`; the number is the seed."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        scene(start + int(name.rpartition("/")[2])).save(folder / f"{name}.png")


def load(folder: Path) -> tuple[Dataset, list[str]]:
    told: list[str] = []
    return datasets.class_folders(folder, FULL, told.append), told


def seeds(images: object) -> set[str]:
    assert isinstance(images, ImageFiles)
    return {file.stem.partition("-")[0] for file in images.files}


def test_copies_stay_on_one_side_where_a_folder_is_divided_and_that_is_recorded(tmp_path: Path) -> None:
    photographs(tmp_path, *(f"cat/{seed}" for seed in range(20)), *(f"dog/{seed}" for seed in range(20, 40)))
    for seed in (*range(10), *range(20, 30)):
        file = tmp_path / ("cat" if seed < 20 else "dog") / f"{seed}.png"
        for quality in (30, 70):
            Image.open(file).save(file.with_name(f"{seed}-{quality}.jpg"), quality=quality)
    data, told = load(tmp_path)
    assert not seeds(data.train) & seeds(data.test)
    assert 0.15 <= len(data.test) / 80 <= 0.25
    for part in split(data.train, 0.2, 1):
        rest = seeds(data.train) - seeds(part)
        assert len(rest) + len(seeds(part)) == len(seeds(data.train))
    sentence = (
        "60 images are copies of one another or look the same (20 groups): where Keraserve sets images aside"
        " to validate or to test on, each group stays together"
    )
    assert (data.copies, data.record()["copies"], data.doubts) == (sentence, sentence, ())
    assert f"{tmp_path.name}: {sentence}" in told


def test_a_users_own_test_images_stay_where_they_are_and_copies_are_told(tmp_path: Path) -> None:
    photographs(tmp_path, *(f"train/{name}/{seed}" for seed in range(3) for name in ("cat",)))
    photographs(tmp_path, *(f"train/dog/{seed}" for seed in range(10, 13)))
    photographs(tmp_path, "test/cat/0", "test/cat/5", "test/dog/15", "test/dog/1")
    scene(10).save(tmp_path / "test/dog/10.jpg", quality=60)
    data, told = load(tmp_path)
    assert (len(data.train), len(data.test)) == (6, 5)
    assert data.doubts == (
        "2 of the images to test on are learnt from as well: their figures will be too good",
        "1 of the images to test on looks like some that are learnt from: their figures may be too good",
        "1 image is in more than one class",
    )
    assert [f"{tmp_path.name}: {doubt}" for doubt in data.doubts] == told[1:4]
