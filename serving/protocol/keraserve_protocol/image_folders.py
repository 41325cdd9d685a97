"""The images in a folder, without what operating systems leave there; for client, models and training."""

from pathlib import Path

from keraserve_protocol import image_formats

_LEFT_BY_SYSTEMS = (
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "__macosx",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "system volume information",
    "lost+found",
)


def is_left_by_a_system(name: str) -> bool:
    """Tell whether a file or folder is hidden (`.DS_Store`), or one that systems leave (`Thumbs.db`)."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def images_below(folder: Path) -> list[Path]:
    """The images in a folder and below it, in the order of their names.

    Raises:
        FileNotFoundError: there is none.
    """
    found = sorted(entry for entry in folder.rglob("*") if _is_image(entry, folder))
    if not found:
        raise FileNotFoundError(f"no images in {folder}")
    return found


def _is_image(entry: Path, folder: Path) -> bool:
    """Judge by the suffix, or where that says nothing by the first bytes, as training does."""
    parts = entry.relative_to(folder).parts
    if any(map(is_left_by_a_system, parts)) or not entry.is_file():
        return False
    if entry.suffix.lower() in image_formats.SUFFIXES:
        return True
    with entry.open("rb") as opened:
        return image_formats.find(opened.read(image_formats.SIGNATURE_BYTES)) is not None
