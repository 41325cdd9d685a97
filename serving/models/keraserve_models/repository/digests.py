"""`assets.extra/SHA256SUMS` of a version: the digest of each of its files, as `sha256sum` writes them.

A graph with a damaged byte may still load, and then gives wrong results. The embedded server compares the
digests before it loads; `sha256sum --check assets.extra/SHA256SUMS` does in the version's folder.
"""

import hashlib
from pathlib import Path

from keraserve_models import atomic

FILE = "assets.extra/SHA256SUMS"


def write(folder: Path) -> None:
    """Write the digests of all files in `folder` but the list itself."""
    listed = folder / FILE
    listed.parent.mkdir(exist_ok=True)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != listed)
    lines = (f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)
    atomic.write_text(listed, "".join(lines))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
