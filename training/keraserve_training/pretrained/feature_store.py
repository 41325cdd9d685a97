"""A folder of stored features, every byte of which is checked when it is opened. Needs no TensorFlow.

<name>-<hash of key.json>/
    key.json                      all that the features depend on
    shard-00000-<sha256>.npy      features in the examples' order
    labels-<sha256>.npy           int32 [N]
    index-<sha256>.json           written last: names the others, and says how long they took to make

A file is whole or not there. The SHA-256 of its content is part of its name, so no byte can change unnoticed,
in the index as little as in a shard, and the shards that a killed process had finished need no list.
"""

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from keraserve_training import atomic, runtime
from keraserve_training.data.examples import Tell
from keraserve_training.errors import FeaturesError
from keraserve_training.locks import locked

KEY, LOCK = "key.json", ".lock"
# Numpy's files know no bfloat16: its two bytes are stored as they are.
STORED = {"float32": "<f4", "bfloat16": "<u2"}
_HASH_DIGITS = 16  # of the key, in the folder's name
_SEALED = re.compile(r"(shard-(\d{5})|labels|index)-([0-9a-f]{64})\.(?:npy|json)")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Layout:
    """How features are laid out in shards.

    Attributes:
        count: of all features.
        in_shard: of those in each shard but the last.
        shape: of one, (h, w, c).
        dtype: `float32` or `bfloat16`.
    """

    count: int
    in_shard: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.count // self.in_shard)

    def rows(self, shard: int) -> range:
        """The features in a shard, by their numbers from 0 to `count`."""
        return range(shard * self.in_shard, min(self.count, (shard + 1) * self.in_shard))

    def bytes(self, shards: Sequence[int]) -> int:
        """What the features of these shards take."""
        one = int(np.prod(self.shape)) * np.dtype(STORED[self.dtype]).itemsize
        return one * sum(len(self.rows(shard)) for shard in shards)


class Writer:
    """Writes an array, row after row, as numpy's `.npy`, and hashes it on the way."""

    def __init__(self, file: BinaryIO, shape: tuple[int, ...], dtype: str) -> None:
        self._file, self._sha = file, hashlib.sha256()
        self._left = int(np.prod(shape)) * np.dtype(dtype).itemsize
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
        self._add(header.getbuffer())

    def write(self, rows: npt.NDArray[Any]) -> None:
        """Add rows."""
        content = np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data
        self._add(content)
        self._left -= len(content)

    def finish(self) -> str:
        """Sync the file; gives its SHA-256 in hexadecimal. Raises ValueError if rows are missing."""
        if self._left:
            raise ValueError(f"{self._left} bytes more or less than the array has")
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._sha.hexdigest()

    def _add(self, content: memoryview) -> None:
        self._file.write(content)
        self._sha.update(content)


@dataclass(frozen=True)
class Store:
    """One such folder. Whoever changes it holds its lock.

    Attributes:
        folder: its place.
        key: what `key.json` says.
        layout: of its shards.
    """

    folder: Path
    key: Mapping[str, Any]
    layout: Layout

    @contextlib.contextmanager
    def locked(self, tell: Tell) -> Iterator[None]:
        """Hold the folder's lock. Of two processes the second waits here until the first has filled it.

        Raises:
            FeaturesError: the folder can't be written.
        """
        with contextlib.ExitStack() as stack:
            with _explained(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(locked(self.folder / LOCK, wait=False))
                except BlockingIOError:
                    tell(f"{self.folder.name}: another process makes these features, waiting for it")
                    stack.enter_context(locked(self.folder / LOCK))
            yield

    def check(self, tell: Tell) -> None:
        """Remove what is not as it was written and say so; also, silently, what a killed process left half.

        Raises:
            FeaturesError: the folder can't be read or written.
        """
        with _explained(self.folder):
            for part in self.folder.glob(".[0-9]*"):
                part.unlink()
            self._check_key(tell)
            files = [path for path in sorted(self.folder.iterdir()) if _SEALED.fullmatch(path.name)]
            with ThreadPoolExecutor(runtime.processors()) as threads:
                for path, whole in zip(files, threads.map(_is_whole, files), strict=True):
                    if not whole:
                        what = path.name.rpartition("-")[0]
                        tell(f"{self.folder.name}: {what} is damaged, it is made again")
                        path.unlink()

    def _check_key(self, tell: Tell) -> None:
        file, content = self.folder / KEY, _json(self.key)
        if file.exists() and file.read_bytes() != content:
            tell(f"{self.folder.name}: {KEY} is damaged, it is made again")
        if not file.exists() or file.read_bytes() != content:
            atomic.write_bytes(file, content)

    def shards(self) -> dict[int, Path]:
        """The shards that are there, by their numbers, in order."""
        sealed = [(_SEALED.fullmatch(path.name), path) for path in sorted(self.folder.iterdir())]
        return {int(name[2]): path for name, path in sealed if name and name[2]}

    def index(self) -> dict[str, Any] | None:
        """What the index says; None where there is none."""
        for path in self.folder.glob("index-*.json"):
            return json.loads(path.read_bytes())
        return None

    def complete(self) -> bool:
        """Whether there is an index, and all that it names."""
        index = self.index()
        return index is not None and all((self.folder / name).exists() for name in index["files"])

    def check_room(self, shards: Sequence[int]) -> None:
        """Raise FeaturesError unless these shards find room on the disk."""
        needed, free = self.layout.bytes(shards), shutil.disk_usage(self.folder).free
        if needed > free:
            raise FeaturesError(
                f"The features need {needed / 1e9:.2f} GB in {self.folder.parent}, where {free / 1e9:.2f} GB"
                " are free: make room there, or name another folder with --runs."
            )

    @contextlib.contextmanager
    def writing(self, shard: int) -> Iterator[Writer]:
        """Write a shard, which appears when the block ends without an exception.

        Raises:
            FeaturesError: it could not be written; nothing of it is left.
        """
        shape = (len(self.layout.rows(shard)), *self.layout.shape)
        with self._writing(f"shard-{shard:05}", shape, STORED[self.layout.dtype]) as writer:
            yield writer

    def finish(self, labels: npt.NDArray[np.int32], seconds: float) -> None:
        """Write labels and index; all shards are there.

        Raises:
            FeaturesError: they could not be written.
        """
        for path in [*self.folder.glob("index-*.json"), *self.folder.glob("labels-*.npy")]:
            path.unlink()
        with self._writing("labels", labels.shape, "<i4") as writer:
            writer.write(labels.astype("<i4"))
        files = [path.name for path in [*self.shards().values(), *self.folder.glob("labels-*.npy")]]
        content = _json({"seconds": round(seconds, 3), "files": files})
        with _explained(self.folder):
            index = f"index-{hashlib.sha256(content).hexdigest()}.json"
            atomic.write_bytes(self.folder / index, content)

    @contextlib.contextmanager
    def _writing(self, name: str, shape: tuple[int, ...], dtype: str) -> Iterator[Writer]:
        part = self.folder / f".{os.getpid()}.{name}"
        with _explained(self.folder):
            try:
                with part.open("wb") as file:
                    writer = Writer(file, shape, dtype)
                    yield writer
                    digest = writer.finish()
                part.replace(self.folder / f"{name}-{digest}.npy")
                atomic.sync(self.folder)
            finally:
                part.unlink(missing_ok=True)


def store(folder: Path, name: str, key: Mapping[str, Any], layout: Layout) -> Store:
    """The store, below `folder`, of features that depend on `key` (JSON's types) and nothing else."""
    digest = hashlib.sha256(_json(key)).hexdigest()[:_HASH_DIGITS]
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".")
    return Store(folder / f"{readable}-{digest}", key, layout)


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _is_whole(path: Path) -> bool:
    sealed = _SEALED.fullmatch(path.name)
    with path.open("rb") as file:
        return sealed is not None and hashlib.file_digest(file, "sha256").hexdigest() == sealed[3]


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Say what to do when the disk does not."""
    try:
        yield
    except OSError as error:
        cause = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        raise FeaturesError(
            f"Features can't be stored in {folder} ({cause}): make room there, or name a folder that you may"
            " write with --runs; what was finished is kept."
        ) from error
