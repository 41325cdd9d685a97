"""A folder of stored features, whose checksums are verified when it is opened. Needs no TensorFlow.

<name>-<hash of key.json>/
    key.json                      all that the features depend on
    shard-00000-<sha256>.npy      features in the examples' order
    labels-<sha256>.npy           int32 [N]
    index-<sha256>.json           written last: the names of the others, and the seconds that they took

A file is whole or not there. The SHA-256 of its content is part of its name, so each file can be verified
alone, also the shards that a killed process had finished.
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

from keraserve_models import atomic
from keraserve_models.locks import locked
from keraserve_training import runtime
from keraserve_training.data.examples import Tell
from keraserve_training.errors import FeaturesError

KEY, LOCK = "key.json", ".lock"
# Numpy's format has no bfloat16: its two bytes are stored as an integer.
STORED = {"float32": "<f4", "bfloat16": "<u2"}
_HASH_DIGITS = 16  # of the key, in the folder's name
_NAMED = re.compile(r"(shard-\d{5}|labels|index)-[0-9a-f]{64}\.(npy|json)")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Layout:
    """How features are laid out in shards.

    Attributes:
        count: number of all features.
        in_shard: number in each shard but the last.
        shape: of one, (h, w, c).
        dtype: `float32` or `bfloat16`.
    """

    count: int
    in_shard: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-self.count // self.in_shard)

    def rows(self, shard: int) -> range:
        """The features in a shard, by their numbers from 0 to `count`."""
        return range(shard * self.in_shard, min(self.count, (shard + 1) * self.in_shard))

    def bytes(self, shards: Sequence[int]) -> int:
        """The size of the features in some shards."""
        one = int(np.prod(self.shape)) * np.dtype(STORED[self.dtype]).itemsize
        return one * sum(len(self.rows(shard)) for shard in shards)


class Writer:
    """Writes an array, row after row, in numpy's format, and computes its SHA-256."""

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
        """Sync the file and return its SHA-256 in hexadecimal. Raises ValueError if rows are missing."""
        if self._left:
            raise ValueError(f"{self._left} bytes are missing")
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._sha.hexdigest()

    def _add(self, content: memoryview) -> None:
        self._file.write(content)
        self._sha.update(content)


@dataclass(frozen=True)
class Store:
    """One such folder; a process that changes it holds its lock. `key` is the content of `key.json`."""

    folder: Path
    key: Mapping[str, Any]
    layout: Layout

    @contextlib.contextmanager
    def locked(self, tell: Tell) -> Iterator[None]:
        """Hold the folder's lock: a second process waits here until the first one has filled the folder.

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
        """Remove damaged files, and tell so; also, silently, files that a killed process left incomplete.

        Raises:
            FeaturesError: the folder can't be read or written.
        """
        with _explained(self.folder):
            for part in self.folder.glob(".[0-9]*"):
                part.unlink()
            self._check_key(tell)
            files = [path for path in sorted(self.folder.iterdir()) if _NAMED.fullmatch(path.name)]
            with ThreadPoolExecutor(runtime.processors()) as threads:
                for path, whole in zip(files, threads.map(_is_whole, files), strict=True):
                    if not whole:
                        what = path.name.rpartition("-")[0]
                        tell(f"{self.folder.name}: {what} is damaged, it is made again")
                        path.unlink()

    def _check_key(self, tell: Tell) -> None:
        file, content = self.folder / KEY, _json(self.key)
        there = file.read_bytes() if file.exists() else None
        if there is not None and there != content:
            tell(f"{self.folder.name}: {KEY} is damaged, it is made again")
        if there != content:
            atomic.write_bytes(file, content)

    def shards(self) -> dict[int, Path]:
        """The shards that are there, by their numbers, in order."""
        return {
            int(path.name[6:11]): path
            for path in sorted(self.folder.glob("shard-[0-9][0-9][0-9][0-9][0-9]-*.npy"))
        }

    def index(self) -> dict[str, Any] | None:
        """The content of the index; None if there is none."""
        for path in self.folder.glob("index-*.json"):
            return json.loads(path.read_bytes())
        return None

    def complete(self) -> bool:
        """Whether the index and all files that it names are there."""
        index = self.index()
        return index is not None and all((self.folder / name).exists() for name in index["files"])

    def check_space(self, shards: Sequence[int]) -> None:
        """Raise FeaturesError unless the disk has space for these shards."""
        needed, free = self.layout.bytes(shards), shutil.disk_usage(self.folder).free
        if needed > free:
            raise FeaturesError(
                f"The features need {needed / 1e9:.2f} GB in {self.folder.parent}, where {free / 1e9:.2f} GB"
                " are free: make space there, or name another folder with --runs."
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
        """Write labels and index after all shards.

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
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == path.stem.rpartition("-")[2]


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn an OSError inside into a FeaturesError that says what to do."""
    try:
        yield
    except OSError as error:
        cause = "the disk is full" if error.errno in _FULL else error.strerror or str(error)
        raise FeaturesError(
            f"Features can't be stored in {folder} ({cause}): make space there, or name a folder that you may"
            " write with --runs; what was finished is kept."
        ) from error
