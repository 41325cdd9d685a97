"""What lies in folders of images and was not put there by people: for client and training alike."""

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
    """Say whether a file or folder hides (`.DS_Store`), or is one that systems leave (`Thumbs.db`)."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS
