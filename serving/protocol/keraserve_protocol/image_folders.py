"""Recognize files that operating systems leave in folders of images; for client and training."""

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
