"""Write files so that they are either complete or absent: to a temporary name, synced, then renamed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, durably; a reader sees the old file or the new one, never a part."""
    write_with(path, lambda part: part.write_bytes(content))


def write_text(path: Path, content: str) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """As `write_text`, for what `json` can write; two spaces of indentation and a newline at the end."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file at the path it is given, then sync that file and rename it to `path`.

    The temporary name keeps the suffix, which `keras.Model.save` needs. It is made from the process id, not
    by `tempfile`, whose files only their owner may read: a served model is read by another user.
    """
    part = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(part)
        sync(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush one file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush a folder and everything in it, the innermost first."""
    for parent, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync(Path(parent) / name)
        sync(Path(parent))
