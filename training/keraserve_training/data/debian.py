"""Take the files out of a Debian package without root and without changing the system.

apt-get gets folders of ours for its lists and its cache, and keeps the system's sources and keys: a package
comes only from where the machine's owner allows it.
"""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 180


def fetch(package: str, folder: Path, options: Sequence[str] = ()) -> Path | None:
    """Download `package` with apt-get and unpack it.

    Args:
        package: its name.
        folder: an empty folder for everything that is written.
        options: more of apt-get's options.

    Returns:
        The folder that holds the package's files as `/` would; None if there is no apt-get, or it could not
        get the package.
    """
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return None
    for part in ("lists/partial", "cache/archives/partial", "download", "root"):
        (folder / part).mkdir(parents=True)
    apt = [
        "apt-get",
        "--quiet",
        *("-o", f"Dir::State::Lists={folder / 'lists'}"),
        *("-o", f"Dir::Cache={folder / 'cache'}"),
        *("-o", "Acquire::Languages=none"),
        *("-o", "Acquire::Retries=1"),
        *("-o", "Acquire::http::Timeout=20"),
        *("-o", "Acquire::https::Timeout=20"),
        *("-o", "APT::Sandbox::User="),  # as root, apt would drop to a user who may not write to `folder`
        *options,
    ]
    # `update` fails if one source can't be reached, but another one may have the package: go on.
    _succeeds([*apt, "update"], folder)
    if not _succeeds([*apt, "download", package], folder / "download"):
        return None
    packages = list((folder / "download").glob("*.deb"))
    root = folder / "root"
    if len(packages) != 1 or not _succeeds(["dpkg-deb", "-x", str(packages[0]), str(root)], folder):
        return None
    return root


def _succeeds(command: Sequence[str], folder: Path) -> bool:
    try:
        subprocess.run(command, cwd=folder, capture_output=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return True
