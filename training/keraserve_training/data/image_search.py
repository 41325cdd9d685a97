"""Find the images below a folder that may hold other files, too."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from keraserve_protocol import image_formats
from keraserve_protocol.image_folders import is_left_by_a_system
from keraserve_training.data import image_files

_NO_IMAGE = f"not a {image_formats.named()} image"

Reject = Callable[[Path, str], None]
"""Called with a file that is left out, and the reason."""


@dataclass(frozen=True)
class Rejected:
    """A file that is left out, and why."""

    file: Path
    reason: str


def ignore(_file: Path, _reason: str) -> None:
    """A `Reject` that does nothing."""


def images_below(folder: Path, reject: Reject = ignore) -> list[Path]:
    """The images in a folder and its subfolders, in the order of their paths; other files are rejected.

    A file is an image by its suffix or its first bytes: it may still be damaged. Hidden files (`.DS_Store`)
    and those that systems leave behind (`Thumbs.db`) are rejected without a look inside.
    """
    return sorted(_images_below(folder, reject, set()), key=os.fsencode)


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, in the order of their names."""
    return sorted((Path(entry.path) for entry in _entries(folder) if _is(entry.is_dir)), key=os.fsencode)


def images_in(folder: Path) -> bool:
    """Whether there are images in a folder itself, not only in its folders."""
    return any(_is(entry.is_file) and _is_image(entry) for entry in _entries(folder))


def reject_loose_files(folder: Path, reject: Reject) -> None:
    """Reject the files beside the class folders."""
    for entry in _entries(folder, reject):
        if not _is(entry.is_dir):
            reject(Path(entry.path), "in no class folder")


def why_not_decoded(file: Path) -> str:
    """In a few words, why the decoder did not read a file."""
    try:
        beginning = _beginning(file)
    except OSError as error:
        return error.strerror or "can't be read"
    if not beginning:
        return "empty"
    if image_formats.find(beginning) is None:
        return _NO_IMAGE
    return image_files.why_not(file) or "damaged"


def _images_below(folder: Path, reject: Reject, seen: set[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in seen:  # a link that leads back
        return
    seen.add(real)
    for entry in _entries(folder, reject):
        path = Path(entry.path)
        if _is(entry.is_dir):
            yield from _images_below(path, reject, seen)
        elif not _is(entry.is_file):
            reject(path, "leads nowhere" if entry.is_symlink() else "not a file")
        elif _is_image(entry):
            yield path
        else:
            reject(path, _NO_IMAGE)


def _entries(folder: Path, reject: Reject = ignore) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError as error:
        reject(folder, error.strerror or "can't be read")
        return []
    hidden = {entry for entry in found if is_left_by_a_system(entry.name)}
    for entry in hidden:
        reject(Path(entry.path), "hidden, or left by a system")
    return [entry for entry in found if entry not in hidden]


def _is(kind: Callable[[], bool]) -> bool:
    try:
        return kind()
    except OSError:  # links in a circle
        return False


def _is_image(entry: "os.DirEntry[str]") -> bool:
    return entry.name.lower().endswith(image_formats.SUFFIXES) or _begins_like_one(Path(entry.path))


def _begins_like_one(file: Path) -> bool:
    try:
        return image_formats.find(_beginning(file)) is not None
    except OSError:
        return False


def _beginning(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(image_formats.SIGNATURE_BYTES)
