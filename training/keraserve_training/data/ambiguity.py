"""Folders that can be read in two ways: which two, and what to type for each."""

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
    """`training_set/training_set`, as some archives unpack: the inner one."""
    while True:
        inner = folders_in(folder)
        if len(inner) != 1 or not _same(inner[0], folder) or not folders_in(inner[0]):
            return folder
        folder = inner[0]


def check_parts(root: Path, folders: Sequence[Path], uses: Mapping[Path, Part]) -> None:
    """Reject folders beside `train/` that may belong to it.

    Args:
        root: holds `folders`.
        folders: all of them.
        uses: those that are parts.

    Raises:
        DataUnavailableError: says both readings.
    """
    for use in sorted(set(uses.values())):
        several = [folder for folder in folders if uses.get(folder) == use]
        if len(several) > 1:
            _reject(
                root,
                f"{_listed(several)} together as {_OF_PART[use]} images",
                "--layout parts",
                f"{several[0].name} alone",
                f"move {_listed(several[1:])} elsewhere",
            )
    train = next(folder for folder in folders if uses.get(folder) == "train")
    learnt = _names(train)
    others = [folder for folder in folders if folder not in uses and images_below(folder, _ignore)]
    for folder in others:
        if mentioned(folder.name) and learnt & _names(folder):
            _reject(
                root,
                f"{folder.name} as more {_OF_PART[mentioned(folder.name)]} images",
                "--layout parts",
                f"without {folder.name}",
                "move it elsewhere",
            )
    if set(uses.values()) > {"train"}:
        return
    for folder in (folder for folder in others if not part(folder.name) and not mentioned(folder.name)):
        if learnt & _names(folder):
            _reject(
                root,
                f"{train.name} and {folder.name} together, with the classes {_listed(folders_in(train))}",
                "--layout merged",
                f"{train.name} alone",
                "--layout parts",
            )
        _reject(
            root,
            f"the classes {_listed(folders)}",
            "--layout classes",
            f"the classes {_listed(folders_in(unwrapped(train)))}, in {train.name} alone",
            "--layout parts",
        )


def check_classes(root: Path, folders: Sequence[Path], uses: Mapping[Path, Part]) -> None:
    """Reject folders that may be no classes: parts of which none is for training, or sources of the same.

    Args and errors: as `check_parts`.
    """
    named = [folder for folder in folders if part(folder.name)]
    if uses or {"train"} < {part(folder.name) for folder in named}:
        lacking, typed = ("of which none is for training", "name that one train")
        if not uses:
            lacking, typed = (
                "with no folders of classes in them",
                "put each class into a folder of its own there",
            )
        _reject(
            root,
            f"the classes {_listed(folders)}",
            "--layout classes",
            f"the parts {_listed(named)}, {lacking}",
            typed,
        )
    nested = [folder for folder in folders if folders_in(folder) and not images_in(folder)]
    names = {folder.name for folder in folders}
    for folder in nested:
        if shared := sorted(_names(folder) & (names - {folder.name})):
            _reject(
                root,
                f"a class {folder.name!r} of its own",
                "--layout classes",
                f"{folder.name} as more images of {', '.join(shared[:_NAMED])}",
                "put those into the class folders",
            )
    common = [
        name for name, count in Counter(n for each in nested for n in _names(each)).items() if count > 1
    ]
    if len(common) >= _SHARED:
        within = [root / name for name in sorted(common)]
        if any(part(name) for name in common):
            other = f"the parts {_listed(within)} inside of each class"
            typed = f"put them outside: {within[0].name}/{nested[0].name}"
        else:
            other, typed = f"the classes {_listed(within)}, in {_listed(nested)} together", "--layout merged"
        _reject(root, f"the classes {_listed(folders)}", "--layout classes", other, typed)


def _reject(root: Path, first: str, typed: str, second: str, typed_second: str) -> NoReturn:
    raise DataUnavailableError(
        f"{root} can be read in two ways: (1) {first}: {_to_do(typed)}; (2) {second}: {_to_do(typed_second)}."
    )


def _to_do(typed: str) -> str:
    if not typed.startswith("--layout"):
        return typed
    return f"add {typed} (make model LAYOUT={typed.removeprefix('--layout ')})"


def _same(inner: Path, outer: Path) -> bool:
    return inner.name == outer.name or (part(inner.name) != "" and part(inner.name) == part(outer.name))


def _names(folder: Path) -> set[str]:
    return {inner.name for inner in folders_in(unwrapped(folder))}


def _listed(folders: Sequence[Path]) -> str:
    named = [folder.name for folder in folders[:_NAMED]]
    return (
        " and ".join(named)
        if len(folders) == 2
        else ", ".join(named) + (", …" if len(folders) > _NAMED else "")
    )


def _ignore(*_: object) -> None:
    pass
