"""How folders of well-known downloads are read: as parts, as classes, or not at all where both fit."""

from pathlib import Path

import pytest

from keraserve_training.data import layout
from keraserve_training.data.part_names import mentioned, part
from keraserve_training.errors import DataUnavailableError

PIXEL = b"\x89PNG\r\n\x1a\n"  # nothing is decoded here
CLASSES = ("cats", "dogs")


def tree(root: Path, *folders: str, images: int = 2) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for number in range(images):
            (root / folder / f"{number}.png").write_bytes(PIXEL)
    return root


def divided(*parts: str) -> list[str]:
    return [f"{each}/{name}" for each in parts for name in CLASSES]


def found(root: Path, how: str | None = None) -> dict[tuple[str, str], int]:
    return {key: len(files) for key, files in layout.read(root, how).files.items()}


NAMES = {
    "train": "train, Training, training_set, seg_train, train_data, trainset, Train-Images, train_pictures",
    "validation": "val, valid, Validation Set, dev",
    "test": "test_set, testing, seg_test, Test Photos",
    "": "imagestrain, seg_pred, trains, contest, validate_train, train_more, test1, evaluations, pictures",
}


@pytest.mark.parametrize("wanted", NAMES)
def test_the_part_that_a_folder_is_named_after(wanted: str) -> None:
    for name in NAMES[wanted].split(", "):
        assert part(name) == wanted, name


def test_the_part_that_a_name_mentions() -> None:
    names = ("train_more", "test1", "my-val-2", "trains", "train_test")
    assert [mentioned(name) for name in names] == ["train", "test", "validation", "", ""]


@pytest.mark.parametrize(
    ("train", "other", "use"),
    [
        ("train", "test", "test"),
        ("Train", "Test", "test"),
        ("training", "testing", "test"),
        ("training_set", "test_set", "test"),
        ("training_set/training_set", "test_set/test_set", "test"),
        ("seg_train/seg_train", "seg_test/seg_test", "test"),
        ("train_data", "test_data", "test"),
        ("train_images", "test_images", "test"),
        ("trainset", "valset", "validation"),
        ("train", "val", "validation"),
        ("train", "valid", "validation"),
        ("train", "validation", "validation"),
        ("train", "dev", "validation"),
        ("train", "eval", "validation"),
    ],
)
def test_parts_are_no_classes(tmp_path: Path, train: str, other: str, use: str) -> None:
    tree(tmp_path, *divided(train, other))
    assert found(tmp_path) == {("train", "cats"): 2, ("train", "dogs"): 2, (use, "cats"): 2, (use, "dogs"): 2}
    said = "; ".join(layout.read(tmp_path).said)
    assert f"{train}/ is to learn from" in said
    assert f"{other}/ is " in said


def test_folders_beside_the_parts_are_left_out_and_said(tmp_path: Path) -> None:
    tree(tmp_path, *divided("seg_train", "seg_test"), "seg_pred/seg_pred", "notes/a")
    read = layout.read(tmp_path)
    reasons = {each.file.name: each.reason for each in read.rejected}
    assert reasons == {
        "seg_pred": "is no part (train, validation, test), 2 images",
        "notes": "is no part (train, validation, test), 2 images",
    }
    assert len(read.train) == 2


@pytest.mark.parametrize("name", ["test", "test1"])
def test_test_images_without_classes_are_left_out_and_said(tmp_path: Path, name: str) -> None:
    tree(tmp_path, *divided("train"), name)
    read = layout.read(tmp_path)
    assert not read.test
    assert [each.file.name for each in read.rejected] == [name]


def test_folders_in_class_folders_count_as_theirs_and_are_said(tmp_path: Path) -> None:
    tree(tmp_path, "cats/2020", "cats/2021", "cats/other/deep", "dogs")
    read = layout.read(tmp_path)
    assert {name: len(files) for name, files in read.train.items()} == {"cats": 6, "dogs": 2}
    assert (
        "6 images in folders inside of class folders (cats/2020, cats/2021, cats/other/deep)" in read.said[0]
    )


AMBIGUOUS = {
    "twice": (
        divided("train", "Train"),
        "(1) Train and train together as training images",
        "(2) Train alone",
    ),
    "more": (
        divided("train", "train_more"),
        "(1) train_more as more training images",
        "(2) without train_more",
    ),
    "numbered": (divided("train", "test", "test2"), "(1) test2 as more test images", "(2) without test2"),
    "extra": (
        divided("train", "extra"),
        "(1) train and extra together, with the classes cats and dogs",
        "(2) train alone",
    ),
    "vehicles": (
        ["train/ice", "train/tgv", "bus/city", "bus/coach"],
        "(1) the classes bus and train: add --layout classes",
        "(2) the classes ice and tgv, in train alone: add --layout parts",
    ),
    "no train": (
        divided("test", "val"),
        "(1) the classes test and val: add --layout classes",
        "(2) the parts test and val, of which none is for training: name that one train",
    ),
    "flat": (
        ["train", "test"],
        "(1) the classes test and train: add --layout classes",
        "(2) the parts test and train, with no folders of classes in them",
    ),
    "sources": (
        divided("camera1", "camera2"),
        "(1) the classes camera1 and camera2: add --layout classes (make model LAYOUT=classes)",
        "(2) the classes cats and dogs, in camera1 and camera2 together: add --layout merged",
    ),
    "wrapper": (
        [*CLASSES, "flowers/cats", "flowers/dogs"],
        "(1) a class 'flowers' of its own: add --layout classes",
        "(2) flowers as more images of cats, dogs",
    ),
    "inside out": (
        ["cats/train", "cats/test", "dogs/train", "dogs/test"],
        "(1) the classes cats and dogs: add --layout classes",
        "(2) the parts test and train inside of each class: put them outside: test/cats",
    ),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_rejected_with_both(tmp_path: Path, case: str) -> None:
    folders, first, second = AMBIGUOUS[case]
    tree(tmp_path, *folders)
    with pytest.raises(DataUnavailableError, match="can be read in two ways") as caught:
        layout.read(tmp_path)
    assert first in str(caught.value)
    assert second in str(caught.value)


def test_a_layout_that_is_named_is_used(tmp_path: Path) -> None:
    cameras = tree(tmp_path / "cameras", *divided("camera1", "camera2"))
    assert found(cameras, "merged") == {("", "cats"): 4, ("", "dogs"): 4}
    assert found(cameras, "classes") == {("", "camera1"): 4, ("", "camera2"): 4}
    twice = tree(tmp_path / "twice", *divided("train", "train_more", "test"))
    both = {(use, name): count for use, count in (("train", 4), ("test", 2)) for name in CLASSES}
    assert found(twice, "parts") == both
    vehicles = tree(tmp_path / "vehicles", "train/ice", "train/tgv", "bus/city", "bus/coach")
    assert found(vehicles, "classes") == {("", "bus"): 4, ("", "train"): 4}
    assert found(vehicles, "parts") == {("train", "ice"): 2, ("train", "tgv"): 2}
    with pytest.raises(DataUnavailableError, match="no folder of training images"):
        layout.read(cameras, "parts")


def test_folders_of_operating_systems_are_no_classes(tmp_path: Path) -> None:
    tree(tmp_path, *CLASSES, "$RECYCLE.BIN", "System Volume Information", ".ipynb_checkpoints", "lost+found")
    read = layout.read(tmp_path)
    assert set(read.train) == set(CLASSES)
    assert {each.reason for each in read.rejected} == {"hidden, or left by a system"}
    assert len(read.rejected) == 4
