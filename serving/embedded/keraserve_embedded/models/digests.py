"""Compare a version's files with the digests in `assets.extra/SHA256SUMS`, to detect damage."""

import hashlib
import re
from pathlib import Path, PurePosixPath

from keraserve_embedded.errors import Code, LoadError

FILE = "assets.extra/SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")  # as `sha256sum` writes it


def check(folder: Path) -> frozenset[str]:
    """Compare the files of the version in `folder` with their digests, if it has a list of them.

    A graph with a damaged byte may still load, and give wrong results.

    Returns:
        The files that the list has, by their paths in `folder`.

    Raises:
        LoadError: a file is missing or differs; or the list can't be read.
    """
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(f"{FILE} can't be read: {error}", Code.DATA_LOSS) from error
    names: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        found = _LINE.fullmatch(line)
        if found is None or not _inside(found[2]):
            raise LoadError(
                f"{FILE} is damaged: line {number} is no digest with a file's name", Code.DATA_LOSS
            )
        _compare(folder, found[2], found[1])
        names.add(found[2])
    return frozenset(names)


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _compare(folder: Path, name: str, wanted: str) -> None:
    try:
        with (folder / name).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise LoadError(
            f"{name} is missing, which {FILE} lists: the version was not copied whole", Code.DATA_LOSS
        ) from error
    except OSError as error:
        raise LoadError(f"{name} can't be read: {error.strerror}", Code.DATA_LOSS) from error
    if digest != wanted:
        raise LoadError(
            f"{name} is not the file that was exported: its SHA-256 is not the one in {FILE}. "
            "Copy the version again, or export it again",
            Code.DATA_LOSS,
        )
