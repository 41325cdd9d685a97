"""Reject a folder that can be read in two ways, with both readings and what to type for each."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from keraserve_training.data.image_search import folders_in, images_below, images_in
from keraserve_training.data.part_names import Part, mentioned, part
from keraserve_training.errors import DataUnavailableError

_OF_PART = {"": "", "train": "training", "validation": "validation", "test": "test"}
_NAMED = 4  # folders in a sentence
_SHARED = 2  # names that two class folders have to share to look like two sources of the same classes


def unwrapped(folder: Path) -> Path:
    """The innermost folder where some archives unpack one into another of its name: `test_set/test_set`."""
    while True:
        inner = folders_in(folder)
        if len(inner) != 1 or not _same(inner[0], folder) or not folders_in(inner[0]):
            return folder
        folder = inner[0]


def check_parts(root: Path, folders: Sequence[Path], uses: Mapping[Path, Part]) -> None:
    """Reject folders beside `train/` that may belong to it; `uses` are those of all `folders` that are parts.

    Raises:
        DataUnavailableError: the folder can be read in two ways; names both.
    """
    for use in sorted(set(uses.values())):
        several = [folder for folder in folders if uses.get(folder) == use]
        if len(several) > 1:
            first = f"{_listed(several)} together as {_OF_PART[use]} images"
            rest = f"move {_listed(several[1:])} elsewhere"
            _reject(root, first, "--layout parts", f"{several[0].name} alone", rest)
    train = next(folder for folder in folders if uses.get(folder) == "train")
    learnt = _names(train)
    others = [folder for folder in folders if folder not in uses and images_below(folder)]
    for folder in others:
        if mentioned(folder.name) and learnt & _names(folder):
            first = f"{folder.name} as more {_OF_PART[mentioned(folder.name)]} images"
            _reject(root, first, "--layout parts", f"without {folder.name}", "move it elsewhere")
    if set(uses.values()) > {"train"}:
        return
    for folder in (folder for folder in others if not part(folder.name) and not mentioned(folder.name)):
        if learnt & _names(folder):
            first = f"{train.name} and {folder.name} together, with the classes {_listed(folders_in(train))}"
            _reject(root, first, "--layout merged", f"{train.name} alone", "--layout parts")
        second = f"the classes {_listed(folders_in(unwrapped(train)))}, in {train.name} alone"
        _reject(root, f"the classes {_listed(folders)}", "--layout classes", second, "--layout parts")


def check_classes(root: Path, folders: Sequence[Path], uses: Mapping[Path, Part]) -> None:
    """Reject folders that may be no classes: parts without one for training, or sources of the same classes.

    Args and errors: as `check_parts`.
    """
    classes = f"the classes {_listed(folders)}"
    named = [folder for folder in folders if part(folder.name)]
    if uses or {"train"} < {part(folder.name) for folder in named}:
        lacking, typed = "of which none is for training", "name that one train"
        if not uses:
            lacking = "with no folders of classes in them"
            typed = "put each class into a folder of its own there"
        _reject(root, classes, "--layout classes", f"the parts {_listed(named)}, {lacking}", typed)
    nested = [folder for folder in folders if folders_in(folder) and not images_in(folder)]
    names = {folder.name for folder in folders}
    for folder in nested:
        if shared := sorted(_names(folder) & (names - {folder.name})):
            second = f"{folder.name} as more images of {', '.join(shared[:_NAMED])}"
            own = f"a class {folder.name!r} of its own"
            _reject(root, own, "--layout classes", second, "put those into the class folders")
    counts = Counter(name for folder in nested for name in _names(folder))
    common = sorted(name for name, count in counts.items() if count > 1)
    if len(common) >= _SHARED:
        within = [root / name for name in common]
        if any(part(name) for name in common):
            other = f"the parts {_listed(within)} inside of each class"
            typed = f"put them outside: {within[0].name}/{nested[0].name}"
        else:
            other, typed = f"the classes {_listed(within)}, in {_listed(nested)} together", "--layout merged"
        _reject(root, classes, "--layout classes", other, typed)


def _reject(root: Path, first: str, typed_first: str, second: str, typed_second: str) -> NoReturn:
    typed = typed_first, typed_second
    todo = [re.sub(r"^--layout (\w+)$", r"add --layout \1 (make model LAYOUT=\1)", each) for each in typed]
    raise DataUnavailableError(
        f"{root} can be read in two ways: (1) {first}: {todo[0]}; (2) {second}: {todo[1]}."
    )


def _same(inner: Path, outer: Path) -> bool:
    return inner.name == outer.name or (part(inner.name) != "" and part(inner.name) == part(outer.name))


def _names(folder: Path) -> set[str]:
    return {inner.name for inner in folders_in(unwrapped(folder))}


def _listed(folders: Sequence[Path]) -> str:
    names = [folder.name for folder in folders[:_NAMED]]
    if len(folders) == 2:
        return " and ".join(names)
    return ", ".join(names) + (", …" if len(folders) > _NAMED else "")
