"""What a folder's images were, and the words for what has changed since."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from keraserve_training.data import image_files, layout
from keraserve_training.data.listing import Listing, changes
from keraserve_training.errors import RunDamagedError


def put(root: Path, name: str, content: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three cats and three dogs; nothing is decoded here."""
    for name in ("cats", "dogs"):
        for number in range(3):
            put(tmp_path / "own", f"{name}/{number}.png", f"{name} {number}")
    return tmp_path / "own"


def listed(root: Path) -> Listing:
    found = layout.read(root)
    return Listing.of(found, [file for files in found.files.values() for file in files])


def more(root: Path) -> None:
    put(root, "cats/7.png", "a")
    put(root, "cats/8.png", "b")
    put(root, "dogs/9.png", "c")


def new_class(root: Path) -> None:
    more(root)
    put(root, "truck/1.png", "d")


def swapped(root: Path) -> None:
    (root / "cats").rename(root / "x")
    (root / "dogs").rename(root / "cats")
    (root / "x").rename(root / "dogs")


def divided(root: Path) -> None:
    for name in ("cats", "dogs"):
        for number, part in enumerate(("train", "train", "test")):
            put(root, f"{part}/{name}/{number}.png", f"{name} {number}")
        shutil.rmtree(root / name)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda _: None, ""),
    "touched": (lambda root: os.utime(root / "cats/0.png", (1, 1)), ""),
    "one more": (lambda root: put(root, "dogs/9.png", "new"), "1 image more"),
    "more": (more, "3 images more"),
    "fewer": (lambda root: (root / "cats/0.png").unlink(), "1 image fewer"),
    "a class more": (new_class, "4 images more, class truck new"),
    "replaced": (lambda root: put(root, "cats/0.png", "cats X"), "1 image with another content"),
    "renamed": (lambda root: (root / "cats").rename(root / "kittens"), "class cats is called kittens now"),
    "relabelled": (
        lambda root: (root / "cats/0.png").rename(root / "dogs/9.png"),
        "1 image in another class",
    ),
    "swapped": (swapped, "6 images in another class"),
    "divided": (divided, "6 images moved between training, validation and test"),
    "other names": (lambda root: (root / "cats/0.png").rename(root / "cats/9.png"), ""),
}


@pytest.mark.parametrize("case", CHANGES)
def test_what_has_changed_is_said(root: Path, case: str) -> None:
    change, said = CHANGES[case]
    before = listed(root)
    change(root)
    assert changes(before, before.of_now(layout.read(root))) == said
    assert changes(before, listed(root)) == said


def test_a_class_that_is_gone_is_said(root: Path) -> None:
    new_class(root)
    before = listed(root)
    shutil.rmtree(root / "truck")
    assert changes(before, before.of_now(layout.read(root))) == "1 image fewer, class truck gone"


def test_other_names_count_where_the_order_matters(root: Path) -> None:
    before = listed(root)
    (root / "cats/0.png").rename(root / "cats/9.png")
    assert changes(before, listed(root), names=True) == "1 image under another name"
    assert changes(before, before, names=True) == ""


def test_it_is_read_as_it_was_written(root: Path, tmp_path: Path) -> None:
    odd = os.fsdecode(b"cats/gr\xfc\xdfe.png")  # a file's name need not be UTF-8
    put(root, odd, "latin-1")
    before = listed(root)
    before.write(tmp_path / "images.json")
    assert Listing.read(tmp_path / "images.json") == before
    assert odd in before.files


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": [1]}', '{"a": 1}'])
def test_one_that_is_damaged_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "images.json").write_text(content)
    with pytest.raises(RunDamagedError, match="--force"):
        Listing.read(tmp_path / "images.json")


def test_what_looks_as_it_did_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listed(root)
    put(root, "cats/1.png", "cats 1, again")
    put(root, "cats/9.png", "new")
    read: list[str] = []
    really = image_files.digests

    def noted(files: list[Path]) -> list[bytes]:
        read.extend(file.name for file in files)
        return really(files)

    monkeypatch.setattr(image_files, "digests", noted)
    before.of_now(layout.read(root))
    assert sorted(read) == ["1.png", "9.png"]


def test_of_unused_images_size_and_time_tell(root: Path) -> None:
    before = Listing.of(layout.read(root), [root / "cats" / "0.png"])
    assert [bool(entry.sha256) for entry in before.files.values()] == [True, *[False] * 5]
    assert changes(before, before.of_now(layout.read(root))) == ""
    put(root, "dogs/0.png", "another size")
    assert changes(before, before.of_now(layout.read(root))) == "1 image with another content"
