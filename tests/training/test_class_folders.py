"""A user's own images, as they lie on real disks."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keraserve_training.data import datasets
from keraserve_training.data.dataset import Dataset
from keraserve_training.data.image_files import ImageFiles
from keraserve_training.errors import DataUnavailableError
from keraserve_training.profiles import FULL, QUICK, SAMPLE

pytestmark = pytest.mark.usefixtures("tensorflow")


def draw(folder: Path, count: int, *, size: tuple[int, int] = (12, 10), suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        colour = tuple(np.random.default_rng([number, len(folder.name)]).integers(0, 256, 3).tolist())
        Image.new("RGB", size, colour).save(folder / f"{number:03d}{suffix}")


def load(folder: Path, told: list[str] | None = None) -> Dataset:
    return datasets.class_folders(folder, FULL, (told if told is not None else []).append)


def names(images: object) -> set[str]:
    assert isinstance(images, ImageFiles)
    return {str(file.relative_to(images.root)) for file in images.files}


def counts(images: object) -> list[int]:
    assert isinstance(images, ImageFiles)
    return np.bincount(images.labels).tolist()


def test_folders_of_classes_are_divided_four_to_one(tmp_path: Path) -> None:
    draw(tmp_path / "own" / "roses", 20)
    draw(tmp_path / "own" / "Dahlien", 10)
    told: list[str] = []
    data = load(tmp_path / "own", told)
    assert (data.name, data.kind, data.classes) == ("own", "folder", ("Dahlien", "roses"))
    assert (counts(data.train), counts(data.test)) == ([8, 16], [2, 4])
    assert not names(data.train) & names(data.test)
    assert data.record() == load(tmp_path / "own").record()
    assert told == ["own: each folder is a class; a fifth of each class is drawn to test on"]
    assert data.found() == (
        "own: 2 classes, 24 images to learn from, 6 to test on: Dahlien 8 and 2, roses 16 and 4"
    )
    assert not np.array_equal(data.train.labels, np.sort(data.train.labels)), "mixed"


def test_folders_that_are_divided_already_stay_so(tmp_path: Path) -> None:
    for part, count in (("train", 4), ("validation", 2), ("Test", 3)):
        for name in ("a", "b"):
            draw(tmp_path / part / name, count)
    data = load(tmp_path)
    assert (counts(data.train), counts(data.test)) == ([6, 6], [3, 3])
    assert all(name.startswith("Test") for name in names(data.test))


def test_training_images_alone_are_divided(tmp_path: Path) -> None:
    for part, name in (("train", "a"), ("train", "b"), ("val", "a"), ("val", "b")):
        draw(tmp_path / part / name, 5)
    data = load(tmp_path)
    assert (counts(data.train), counts(data.test)) == ([8, 8], [2, 2])


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    draw(tmp_path / "train", 5)
    draw(tmp_path / "bus", 5)
    assert load(tmp_path).classes == ("bus", "train")


@pytest.fixture
def untidy(tmp_path: Path) -> Path:
    """What is found on real disks, and is not an image of a class."""
    cats, dogs = tmp_path / "Katzen", tmp_path / "Hunde, groß"
    draw(cats, 6)
    draw(dogs, 6, suffix=" von gestern.JPG")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._000.png"):
        (cats / name).write_bytes(b"whatever")
    (tmp_path / ".git" / "objects").mkdir(parents=True)
    draw(tmp_path / "__MACOSX" / "Katzen", 1)
    draw(cats / "2021" / "July", 1)
    (cats / "2021" / "back").symlink_to(cats)
    (cats / "linked.jpg").symlink_to(next(dogs.iterdir()))
    Image.new("CMYK", (9, 9)).save(cats / "print.jpeg")
    Image.new("L", (9, 9)).save(cats / "grey.PNG")
    Image.new("RGB", (9, 9)).save(cats / "no suffix", format="JPEG")
    Image.new("RGB", (9, 9)).save(cats / "really a png.jpg", format="PNG")

    (cats / "broken.png").symlink_to(cats / "nowhere.png")
    (cats / "circle.png").symlink_to("circle.png")
    whole = next(dogs.iterdir()).read_bytes()
    (cats / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (cats / "empty.jpg").write_bytes(b"")
    (cats / "notes.txt").write_text("Hello")
    Image.new("RGB", (9, 9)).save(cats / "web.webp")
    (tmp_path / "README").write_text("Hello")
    return tmp_path


def test_untidy_folders_work_and_what_is_left_out_is_said(untidy: Path) -> None:
    told: list[str] = []
    data = load(untidy, told)
    used = names(data.train) | names(data.test)
    assert len(used) == 19
    assert {"Katzen/2021/July/000.png", "Katzen/linked.jpg", "Katzen/no suffix", "Katzen/web.webp"} <= used
    inside, sentence, *_ = told
    assert "1 image in folders inside of class folders (Katzen/2021/July) count as their class's" in inside
    assert "of the files and folders, 12 are left out: " in sentence
    assert ".git, Katzen/.DS_Store, Katzen/._000.png and 3 more (hidden, or left by a system)" in sentence
    assert "Katzen/broken.png, Katzen/circle.png (leads nowhere)" in sentence
    assert "README (in no class folder)" in sentence
    assert "Katzen/empty.jpg (empty); Katzen/half.jpg (damaged)" in sentence
    for part in (data.train, data.test):
        seen = [int(label) for _, batch in part.sized(8).batches(np.arange(len(part)), 5) for label in batch]
        assert seen == part.labels.tolist()


def test_a_file_that_may_not_be_read_is_left_out(untidy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (untidy / "Katzen" / "000.png").chmod(0)
    told: list[str] = []
    load(untidy, told)
    assert "Katzen/000.png (Permission denied)" in told[1]


def test_umlauts_of_a_mac_are_the_same_class(tmp_path: Path) -> None:
    for part in ("train/B\u00e4ren", "train/Wolf", "test/Ba\u0308ren", "test/Wolf"):
        draw(tmp_path / part, 2)
    assert load(tmp_path).classes == ("B\u00e4ren", "Wolf")


def test_two_folders_that_are_one_class_are_told(tmp_path: Path) -> None:
    for folder in ("B\u00e4ren", "Ba\u0308ren", "Wolf"):
        draw(tmp_path / folder, 2)
    told: list[str] = []
    datasets.class_folders(tmp_path, SAMPLE, told.append)
    said = r"the folders 'Ba\u0308ren' and 'B\xe4ren' have the same name in other bytes, and are one class"
    assert any(said in line for line in told)


def test_a_profile_limits_every_class_in_its_share(tmp_path: Path) -> None:
    draw(tmp_path / "a", 40, size=(80, 80))
    draw(tmp_path / "b", 120, size=(80, 80))
    data = datasets.class_folders(tmp_path, SAMPLE, lambda _: None)
    assert data.kind == "folder"
    assert (counts(data.train), counts(data.test)) == ([9, 29], [3, 7])
    told: list[str] = []
    quick = datasets.class_folders(tmp_path, QUICK, told.append)
    assert not any("uses" in sentence for sentence in told)
    assert (counts(quick.train), counts(quick.test)) == ([32, 96], [8, 24])


def test_small_images_are_limited_as_such(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("a", "b"):
            draw(tmp_path / part / name, 70, size=(64, 64))
    told: list[str] = []
    data = datasets.class_folders(tmp_path, SAMPLE, told.append)
    assert (counts(data.train), counts(data.test)) == ([50, 50], [50, 50])
    assert told[1] == f"{tmp_path.name}: profile sample uses 200 of the 280 images"


def test_what_is_missing_is_said_in_one_sentence(tmp_path: Path) -> None:
    def said(*folders: str, images: int = 3) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        root.mkdir()
        for folder in folders:
            draw(root / folder, images)
        with pytest.raises(DataUnavailableError) as caught:
            load(root)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "holds no folders" in said()
    wrapped = said("PetImages/cat", "PetImages/dog")
    assert "only one folder, 'PetImages'" in wrapped
    assert wrapped.endswith("/PetImages.")  # what to type
    assert "the class 'b' is in train only" in said("train/a", "train/b", "test/a")
    assert "the class 'c' is in test only" in said("train/a", "train/b", "test/a", "test/b", "test/c")
    assert "too few images" in said("a", "b", images=1)
    assert "has no JPEG, PNG, GIF, BMP or WebP image" in said("a", "b", images=0)
    with pytest.raises(DataUnavailableError, match="There is no folder"):
        load(tmp_path / "nowhere")


def test_a_class_of_damaged_images_is_said_in_one_sentence(tmp_path: Path) -> None:
    draw(tmp_path / "a", 5)
    draw(tmp_path / "b", 5)
    for file in (tmp_path / "b").iterdir():
        file.write_bytes(file.read_bytes()[:30])
    with pytest.raises(DataUnavailableError, match=r"The class 'b' .* too few images that can be read"):
        load(tmp_path)


def test_the_smallest_that_works(tmp_path: Path) -> None:
    draw(tmp_path / "a", 2)
    draw(tmp_path / "b", 2)
    data = load(tmp_path)
    assert counts(data.train) == counts(data.test) == [1, 1]


def test_images_that_are_learnt_from_and_tested_on_are_said(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name, count in (("a", 3), ("b", 4)):
            draw(tmp_path / part / name, count)
    (tmp_path / "test" / "b" / "003.png").write_bytes(
        (tmp_path / "train" / "b" / "000.png").read_bytes() + b"x"
    )
    told: list[str] = []
    load(tmp_path, told)
    assert any("3 of the images to test on are learnt from as well" in sentence for sentence in told)
    assert any("3 images are in more than one class" in sentence for sentence in told)


def test_a_panorama_is_left_out_with_its_pixels_and_a_palette_with_what_to_do(tmp_path: Path) -> None:
    draw(tmp_path / "a", 6)
    draw(tmp_path / "b", 6)
    panorama = tmp_path / "a" / "panorama.jpg"
    Image.new("L", (16, 16)).save(panorama)
    content = panorama.read_bytes()
    place = content.index(b"\xff\xc0") + 5
    panorama.write_bytes(content[:place] + struct.pack(">HH", 13_000, 14_000) + content[place + 4 :])
    Image.new("RGB", (9, 9)).quantize(4).save(tmp_path / "b" / "palette.bmp")
    told: list[str] = []
    load(tmp_path, told)
    sentence = next(each for each in told if "left out" in each)
    assert "a/panorama.jpg (has 14000x13000 = 182000000 pixels, 1 to 50000000 are allowed)" in sentence
    assert "b/palette.bmp (is a BMP of a kind that models do not decode: save it with 24 bits" in sentence


def test_a_bitmap_with_bytes_behind_its_rows_is_learnt_from(tmp_path: Path) -> None:
    draw(tmp_path / "a", 6)
    draw(tmp_path / "b", 5)
    photoshops = tmp_path / "b" / "photoshop.bmp"
    Image.new("RGB", (9, 9), (1, 2, 3)).save(photoshops)
    photoshops.write_bytes(photoshops.read_bytes() + b"\0\0")
    told: list[str] = []
    data = load(tmp_path, told)
    assert "b/photoshop.bmp" in names(data.train) | names(data.test)
    assert not any("left out" in sentence for sentence in told)
    (shown,) = ImageFiles((photoshops,), np.zeros(1, np.int32)).show(np.array([0]))
    np.testing.assert_array_equal(shown, np.full((9, 9, 3), [1, 2, 3]))


def test_people_see_large_images_small_upright_and_with_their_own_size(tmp_path: Path) -> None:
    draw(tmp_path / "a", 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (1600, 900)).save(tmp_path / "a" / "0 turned.jpg", exif=exif)
    files = tuple(sorted((tmp_path / "a").iterdir()))
    images = ImageFiles(files, np.zeros(len(files), np.int32))
    place = [file.name for file in files].index("0 turned.jpg")
    (shown,) = images.show(np.array([place]))
    assert shown.shape == (400, 225, 3)
    assert images.sizes(np.array([place])) == [(1600, 900)]
