"""A user's own pictures: a folder that holds one folder of pictures a class.

Two layouts: `DIR/train/<class>/…` and `DIR/test/<class>/…` (`DIR/validation/<class>/…` is joined to the
training pictures, since every experiment sets its own part aside), or `DIR/<class>/…`, of which a fifth is
drawn for testing. Whatever else lies there is left out, and said.
"""

import os
import unicodedata
from pathlib import Path

import numpy as np

from keraserve_training.data import picture_files
from keraserve_training.data.dataset import Dataset
from keraserve_training.data.examples import Tell, draw, limited, split
from keraserve_training.data.picture_files import PictureFiles
from keraserve_training.data.picture_search import (
    Refuse,
    Refused,
    folders_in,
    pictures_below,
    refuse_loose_files,
    why_not_decoded,
)
from keraserve_training.errors import DataUnavailableError
from keraserve_training.profiles import Profile

_TEST_SHARE = 0.2
_SEED = 0
_TRAIN, _TEST = ("train", "training"), ("test", "testing")
_VALIDATION = ("validation", "val", "valid")
_NAMED = 3  # of those that are left out
SMALL_SIDE = 64  # pixels; larger pictures are photographs
_LOOKED_AT = 15


def load(folder: Path, profile: Profile, tell: Tell) -> Dataset:
    """Read class folders; the training pictures come in a random order that is always the same.

    Args:
        folder: in one of the two layouts of the module's text.
        profile: limits how many pictures are used, every class in its share.
        tell: is told which files were left out, and why.

    Raises:
        DataUnavailableError: there is no such folder, there are fewer than two classes in it, or a class has
            no pictures; says which.
    """
    root = folder.expanduser().resolve()
    if not root.is_dir():
        raise DataUnavailableError(
            f"There is no folder {root}: --data takes one that holds a folder of pictures for each class."
        )
    refused: list[Refused] = []
    train, test = _layout(root, lambda file, reason: refused.append(Refused(file, reason)))
    classes = tuple(sorted(train))
    _check(root, train, test)

    pictures = gathered(root, train, classes)
    photographs = are_photographs(pictures)
    if test:
        parts = [
            readable(limited(part, profile.limit(len(part), photographs=photographs)), refused)
            for part in (pictures, gathered(root, test, classes))
        ]
    else:
        aside = round(_TEST_SHARE * len(pictures))
        aside, rest = (
            profile.limit(count, photographs=photographs) for count in (aside, len(pictures) - aside)
        )
        pictures = readable(limited(pictures, aside + rest), refused)
        _check_counts(root, pictures, classes, 2)
        parts = split(pictures, max(round(_TEST_SHARE * len(pictures)), len(classes)), _SEED)
    for part in parts:
        _check_counts(root, part, classes, 1)
    say_refused(root, refused, tell)
    origin = f"pictures of one's own, in the folder {root.name!r}"
    return Dataset(root.name, "folder", origin, classes, shuffled(parts[0]), parts[1])


def gathered(root: Path, found: dict[str, list[Path]], classes: tuple[str, ...]) -> PictureFiles:
    """The files of all classes, class after class."""
    files = tuple(file for name in classes for file in found[name])
    labels = np.repeat(np.arange(len(classes)), [len(found[name]) for name in classes]).astype(np.int32)
    return PictureFiles(files, labels, root=root)


def readable(pictures: PictureFiles, refused: list[Refused]) -> PictureFiles:
    """Those that the decoder reads; the others are added to `refused`."""
    good = picture_files.decodable(pictures.files)
    bad = [pictures.files[index] for index in np.flatnonzero(~good)]
    refused += [Refused(file, why_not_decoded(file)) for file in bad]
    return pictures.select(np.flatnonzero(good)) if bad else pictures


def shuffled(pictures: PictureFiles) -> PictureFiles:
    """In a random order that is always the same, so that the first thousand are like all others."""
    return pictures.select(np.random.default_rng(_SEED).permutation(len(pictures)))


def are_photographs(pictures: PictureFiles) -> bool:
    """Whether most are larger than 64 pixels a side, judged by a few."""
    few = pictures.select(draw(pictures.labels, min(_LOOKED_AT, len(pictures)), _SEED))
    few = few.select(np.flatnonzero(picture_files.decodable(few.files)))
    sides = [max(picture.shape[:2]) for picture in few.show(np.arange(len(few)))]
    return bool(sides) and float(np.median(sides)) > SMALL_SIDE


def say_refused(root: Path, refused: list[Refused], tell: Tell) -> None:
    """One sentence about what was left out; none where nothing was."""
    if not refused:
        return
    first = sorted(refused, key=lambda each: os.fsencode(each.file))[:_NAMED]
    named = [f"{_relative(each.file, root)} ({each.reason})" for each in first]
    more = f" and {len(refused) - _NAMED:,} more" if len(refused) > _NAMED else ""
    count = "1 file is" if len(refused) == 1 else f"{len(refused):,} files are"
    tell(f"{root.name}: {count} left out: {', '.join(named)}{more}")


def _layout(root: Path, refuse: Refuse) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Training and test files by class; no test files where the folder is not divided."""
    # A class may be called "train" as well; then there are pictures in it, not folders.
    folders = {folder.name.lower(): folder for folder in folders_in(root) if folders_in(folder)}
    if not any(name in folders for name in _TRAIN):
        return _classes([root], refuse), {}
    train, test = (
        _classes([folders[name] for name in names if name in folders], refuse)
        for names in ((*_TRAIN, *_VALIDATION), _TEST)
    )
    return train, test


def _classes(folders: list[Path], refuse: Refuse) -> dict[str, list[Path]]:
    """The files of every class folder in `folders`."""
    found: dict[str, list[Path]] = {}
    for folder in folders:
        for each in folders_in(folder):
            # A Mac writes an umlaut as two characters: train/ from there and test/ from here are one class.
            name = unicodedata.normalize("NFC", each.name)
            found.setdefault(name, []).extend(pictures_below(each, refuse))
        refuse_loose_files(folder, refuse)
    return found


def _check(root: Path, train: dict[str, list[Path]], test: dict[str, list[Path]]) -> None:
    """Raise DataUnavailableError unless there are two classes with pictures, the same ones for testing."""
    if len(train) < 2:
        only = f"only one folder, {next(iter(train))!r}" if train else "no folders"
        raise DataUnavailableError(
            f"{root} holds {only}: put the pictures of each class into a folder of its own, two at least, and"
            " give the folder that holds those."
        )
    if test and set(train) != set(test):
        odd = sorted(set(train) ^ set(test))
        where = "train" if odd[0] in train else "test"
        raise DataUnavailableError(
            f"In {root}, the class {odd[0]!r} is in {where} only: train and test need the same classes."
        )
    for name, files in [*train.items(), *test.items()]:
        if not files:
            raise DataUnavailableError(
                f"The class {name!r} in {root} has no JPEG, PNG, GIF or BMP picture: put some there, or take"
                " the folder away."
            )


def _check_counts(root: Path, pictures: PictureFiles, classes: tuple[str, ...], least: int) -> None:
    counts = np.bincount(pictures.labels, minlength=len(classes))
    if counts.min() < least:
        name = classes[int(counts.argmin())]
        raise DataUnavailableError(
            f"The class {name!r} in {root} has too few pictures that can be read ({counts.min()}): one is"
            " needed for training and another one for testing, and a hundred are better."
        )


def _relative(file: Path, root: Path) -> str:
    # A name that is no UTF-8 can't be printed as it is.
    return os.fsencode(file.relative_to(root)).decode(errors="replace")
