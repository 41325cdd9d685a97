"""The model repository, `models/<name>/<version>/`: a version appears whole or not at all.

It is written to a folder beside its place whose name is not a number, so that no server reads it; flushed to
the disk; and renamed. The writer locks a file beside that folder, and the system releases the lock when the
process dies: so the next exporter knows what is abandoned and what is being written, also in containers,
where process numbers say nothing.
"""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from keraserve_models import atomic
from keraserve_models.errors import RepositoryError
from keraserve_models.locks import locked
from keraserve_models.repository import digests

LOCK = ".lock"
MODEL_CARD = "assets.extra/model_card.json"
CARD_ASSET = "assets/model_card.json"
WARM_UP = "assets.extra/tf_serving_warmup_requests"
LABELS = "assets/labels.txt"
REQUIRED = (
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    LABELS,
    WARM_UP,
    MODEL_CARD,
    CARD_ASSET,
)
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_UNFINISHED = ".exporting-"


@contextmanager
def exporting(models: Path, name: str) -> Iterator[None]:
    """Be the only exporter of a model; others wait, also in other processes and containers."""
    models.mkdir(parents=True, exist_ok=True)
    with locked(models / f".{name}{LOCK}"):
        yield


def publish(
    models: Path, name: str, write: Callable[[Path], None], required: Sequence[str] = REQUIRED
) -> int:
    """Add a version to a model, one more than the highest; several processes may do so at once.

    Args:
        models: the repository; made if need be.
        name: the model's.
        write: writes all of `required` into the folder that it gets; the files' digests are added.
        required: files that it has to write.

    Raises:
        RepositoryError: the name is invalid, or `write` left something out.
    """
    check_name(name)
    base = models / name
    base.mkdir(parents=True, exist_ok=True)
    try:
        return _publish(models, base, write, required)
    except BaseException:
        with locked(models / LOCK), suppress(OSError):
            base.rmdir()  # where this would have been its first version
        raise


def _publish(models: Path, base: Path, write: Callable[[Path], None], required: Sequence[str]) -> int:
    with ExitStack() as claim:
        with locked(models / LOCK):
            _remove_abandoned(base)
            place = claim.enter_context(_unfinished(base))
        write(place)
        missing = [file for file in required if not (place / file).is_file()]
        if missing:
            lacks = f"The export of {base.name} lacks {', '.join(missing)}"
            raise RepositoryError(f"{lacks}: nothing was published.")
        digests.write(place)
        atomic.sync_tree(place)
        with locked(models / LOCK):
            version = max(_numbers(base), default=0) + 1
            place.rename(base / str(version))
            atomic.sync(base)
        return version


def check_name(name: str) -> None:
    """Reject what can't be a model's name.

    Raises:
        RepositoryError: says what a name may be.
    """
    if not _NAME.fullmatch(name):
        raise RepositoryError(
            f"{name!r} can't be a model's name: lower-case letters, digits and '-', at most 63."
        )


def names(models: Path) -> list[str]:
    """Every model that has a version, in alphabetical order."""
    if not models.is_dir():
        return []
    return sorted(base.name for base in models.iterdir() if _NAME.fullmatch(base.name) and versions(base))


def versions(base: Path) -> list[int]:
    """The versions of the model in folder `base`, ascending; not those with a zero before their number."""
    return [number for number in _numbers(base) if (base / str(number)).is_dir()]


def _numbers(base: Path) -> list[int]:
    found = [inner.name for inner in base.iterdir() if inner.is_dir()] if base.is_dir() else []
    return sorted({int(name) for name in found if name.isascii() and name.isdigit()})


@contextmanager
def _unfinished(base: Path) -> Iterator[Path]:
    """Make an unfinished folder and hold its lock; the folder is removed where the caller fails."""
    # Not by tempfile: only its owner could read the version, and servers run as another user.
    place = base / f"{_UNFINISHED}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with locked(_lock_of(place)):
            place.mkdir()
            try:
                yield place
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
    finally:
        _lock_of(place).unlink(missing_ok=True)


def _remove_abandoned(base: Path) -> None:
    """Remove what killed exporters have left; the caller holds the repository's lock."""
    for name in {path.name.removesuffix(LOCK) for path in base.glob(f"{_UNFINISHED}*")}:
        place = base / name
        try:
            with locked(_lock_of(place), wait=False):
                if place.exists():
                    shutil.rmtree(place)
        except BlockingIOError:
            continue  # another exporter is writing it
        _lock_of(place).unlink(missing_ok=True)


def _lock_of(place: Path) -> Path:
    return place.with_name(place.name + LOCK)


def listed(things: Sequence[object]) -> str:
    """Names or versions in words, for a message."""
    return ", ".join(map(str, things)) or "none"
