"""Which images are below a folder, the class of each, and whether it is for training, validation or testing.

- `classes`: `DIR/<class>/…`; every folder is a class, with all images below it.
- `parts`: `DIR/train/<class>/…` beside `DIR/test/<class>/…` and `DIR/validation/<class>/…`, or other usual
  names (`part_names`).
- `merged`: `DIR/<anything>/<class>/…`; classes of one name are one class.

The folders' names and contents decide which layout it is. If two fit, the folder is rejected with both, and
the user says which one it is. Needs no TensorFlow.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keraserve_protocol import image_formats
from keraserve_training.data import ambiguity
from keraserve_training.data.image_search import Rejected, folders_in, images_below, reject_loose_files
from keraserve_training.data.part_names import Part, mentioned, part
from keraserve_training.errors import DataUnavailableError

_CONTROLS = ("Cc", "Zl", "Zp")  # of Unicode's categories
LAYOUTS = ("classes", "parts", "merged")
_LEARNT_FROM: tuple[Part, ...] = ("", "train", "validation")
_PLACES: dict[Part, str] = {
    "train": "to learn from",
    "validation": "to learn from too (every experiment sets a part of its own aside)",
    "test": "to test on",
}


@dataclass
class Layout:
    """The images below a folder.

    Attributes:
        root: the folder.
        files: the images of each part and class, in the order of their paths.
        rejected: what was left out, and why.
        said: sentences for the user about how the folders were read.
    """

    root: Path
    files: dict[tuple[Part, str], list[Path]] = field(default_factory=dict[tuple[Part, str], list[Path]])
    rejected: list[Rejected] = field(default_factory=list[Rejected])
    said: list[str] = field(default_factory=list[str])

    @property
    def train(self) -> dict[str, list[Path]]:
        """The images to learn from, by class: of training and validation, or all."""
        return self._joined(_LEARNT_FROM)

    @property
    def test(self) -> dict[str, list[Path]]:
        """The images to test on, by class; empty if the folder has no such part."""
        return self._joined(("test",))

    def add(self, use: Part, folders: Iterable[Path]) -> None:
        """Take each of `folders` as a class."""
        inside: list[Path] = []
        named: dict[str, Path] = {}
        for folder in folders:
            name = _class_name(folder)
            if named.setdefault(name, folder) != folder:
                places = f"{named[name].name!a} and {folder.name!a}"
                self.said.append(f"the folders {places} have the same name in other bytes, and are one class")
            found = images_below(folder, self.reject)
            self.files.setdefault((use, name), []).extend(found)
            inside += [file for file in found if file.parent != folder]
        if inside:
            parents = sorted({str(file.parent.relative_to(self.root)) for file in inside})
            some = ", ".join(parents[:3]) + (" …" if parents[3:] else "")
            self.said.append(
                f"{_count(len(inside))} in folders inside of class folders ({some}) count as their class's"
            )

    def reject(self, file: Path, reason: str) -> None:
        """Leave a file or folder out."""
        self.rejected.append(Rejected(file, reason))

    def _joined(self, uses: Sequence[Part]) -> dict[str, list[Path]]:
        joined: dict[str, list[Path]] = {}
        for use in uses:
            for (of, name), files in self.files.items():
                if of == use:
                    joined.setdefault(name, []).extend(files)
        return joined


def read(root: Path, how: str | None = None) -> Layout:
    """Find the images below a folder, from which a network can learn.

    Args:
        root: the folder, resolved.
        how: one of `LAYOUTS`; None: the one that fits.

    Raises:
        DataUnavailableError: there is no such folder, two layouts fit, or one of `faults` is found.
    """
    found = find(root, how)
    for fault in faults(found):
        raise DataUnavailableError(fault)
    return found


def find(root: Path, how: str | None = None) -> Layout:
    """Find the images below a folder, whatever is wrong with its classes. For the arguments see `read`.

    Raises:
        DataUnavailableError: there is no such folder, or two layouts fit.
    """
    if not root.is_dir():
        raise DataUnavailableError(
            f"There is no folder {root}: name one that holds a folder of images for each class."
        )
    _check_utf8(root)
    layout = Layout(root)
    folders = folders_in(root)
    uses = _parts(root, folders, loosely=how == "parts")
    if how == "merged":
        _merged(layout, folders)
    elif how == "parts" or (how is None and "train" in uses.values()):
        if how is None:
            ambiguity.check_parts(root, folders, uses)
        _divided(layout, folders, uses)
    else:
        if how is None:
            ambiguity.check_classes(root, folders, uses)
        layout.add("", folders)
        layout.said.append("each folder is a class")
    reject_loose_files(root, layout.reject)
    return layout


def _class_name(folder: Path) -> str:
    """The name of the class whose images are in a folder.

    Raises:
        DataUnavailableError: it can't be a line of `labels.txt`: not UTF-8, or with a line break.
    """
    # macOS writes an umlaut as two characters: the same class in train/ of a Mac and in test/ of Linux.
    name = unicodedata.normalize("NFC", folder.name)
    _check_utf8(folder)
    if any(unicodedata.category(letter) in _CONTROLS for letter in name):
        raise DataUnavailableError(
            f"The name of the folder {str(folder)!r} has a line break or another control character, and a"
            " class has the name of its folder: rename it."
        )
    return name


def _check_utf8(folder: Path) -> None:
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(folder).decode(errors="backslashreplace")
        raise DataUnavailableError(
            f"The name of the folder {shown} is not UTF-8, as from an archive of an old system: rename it."
        ) from None


def _parts(root: Path, folders: Sequence[Path], *, loosely: bool) -> dict[Path, Part]:
    """The folders that have the name of a part and hold folders: one without may be a class `train`."""
    named = mentioned if loosely else part
    parts: dict[Path, Part] = {
        folder: named(folder.name) for folder in folders if named(folder.name) and folders_in(folder)
    }
    if loosely and "train" not in parts.values():
        raise DataUnavailableError(
            f"{root} holds no folder of training images with folders of classes in it: --layout parts takes"
            " train/<class>/…, beside test/<class>/… if you like."
        )
    return parts


def _divided(layout: Layout, folders: Sequence[Path], uses: Mapping[Path, Part]) -> None:
    for use in ("train", "validation", "test"):
        for folder in (folder for folder in folders if uses.get(folder) == use):
            inner = ambiguity.unwrapped(folder)
            layout.add(use, folders_in(inner))
            reject_loose_files(inner, layout.reject)
            layout.said.append(f"{inner.relative_to(layout.root)}/ is {_PLACES[use]}")
    for folder in folders:
        if folder not in uses:
            lacking = part(folder.name) != ""
            what = "has no folders of classes" if lacking else "is no part (train, validation, test)"
            layout.reject(folder, f"{what}, {_count(len(images_below(folder)))}")


def _merged(layout: Layout, folders: Sequence[Path]) -> None:
    for folder in folders:
        layout.add("", folders_in(folder))
        reject_loose_files(folder, layout.reject)
    layout.said.append(f"the classes are the folders in {', '.join(f'{each.name}/' for each in folders)}")


def faults(layout: Layout) -> Iterator[str]:
    """Why nothing can be learnt from a layout: there are no two classes with images, the same for testing."""
    root, train, test = layout.root, layout.train, layout.test
    if len(train) < 2:
        only = f"only one folder, {next(iter(train))!r}" if train else "no folders"
        inner = root / next(iter(train), "")
        wrapped = f"; if its folders are the classes: --data {inner}" if len(folders_in(inner)) > 1 else ""
        yield (
            f"{root} holds {only}: put the images of each class into a folder of its own, two at least, and"
            f" give the folder that holds those{wrapped if train else ''}."
        )
    for odd in sorted(set(train) ^ set(test)) if test else ():
        where = "train" if odd in train else "test"
        yield f"In {root}, the class {odd!r} is in {where} only: train and test need the same classes."
    empty = (name for name, files in [*train.items(), *test.items()] if not files)
    for name in dict.fromkeys(empty):
        yield (
            f"The class {name!r} in {root} has no {image_formats.named()} image: put some there, or"
            " take the folder away."
        )


def _count(images: int) -> str:
    return f"{images:,} image{'' if images == 1 else 's'}"
