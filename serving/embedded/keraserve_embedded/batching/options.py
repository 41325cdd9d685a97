"""TensorFlow Serving's batching parameters, and their checks."""

import math
import os
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from google.protobuf import text_format

from keraserve_embedded.errors import Code, ConfigError, LoadError
from keraserve_protocol import text_file
from keraserve_protocol.messages import BatchingParameters

FILE_OF_VERSION = "batching_params.pbtxt"
"""In a version's folder: its BatchingParameters, which say that its rows are independent."""


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class BatchingOptions:
    """TensorFlow Serving's batching parameters, with its defaults.

    Attributes:
        max_batch_size: most rows in one request, and in one batch where no request is split.
        batch_timeout_micros: how long the first request of a batch may wait for others while a slot is free.
        max_enqueued_batches: how many full batches may wait for each signature.
        num_batch_threads: how many batches run at once.
        allowed_batch_sizes: a batch is padded to the next of these, in rising order; if empty, not at all.
        pad_variable_length_inputs: requests of different inner shapes are padded to the largest and merged.
        max_execution_batch_size: most rows in a batch; longer requests are split. None: no request is.
        explicit: the operator turned batching on for all: rows are independent except in versions that say
            otherwise. Else they are independent only in versions that say so.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=cores)
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    max_execution_batch_size: int | None = None
    explicit: bool = True

    def __post_init__(self) -> None:
        """Reject values that make no sense.

        Raises:
            ConfigError: with a sentence that names the parameter.
        """
        for name in ("max_batch_size", "max_enqueued_batches", "num_batch_threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1; it is {getattr(self, name)}")
        if self.batch_timeout_micros < 0:
            raise ConfigError(f"batch_timeout_micros must not be negative; it is {self.batch_timeout_micros}")
        if not 1 <= self.rows <= self.max_batch_size:
            raise ConfigError(
                f"max_execution_batch_size must be from 1 to max_batch_size ({self.max_batch_size}); "
                f"it is {self.rows}"
            )
        sizes = self.allowed_batch_sizes
        if any(low >= high for low, high in pairwise((0, *sizes))):
            raise ConfigError(f"allowed_batch_sizes must be positive and rising; they are {list(sizes)}")
        if sizes and sizes[-1] != self.max_batch_size:
            raise ConfigError(
                f"Last entry in allowed_batch_sizes must match max_batch_size; last entry was {sizes[-1]}; "
                f"expected {self.max_batch_size}"
            )

    @property
    def rows(self) -> int:
        """Most rows in a batch."""
        return self.max_batch_size if self.max_execution_batch_size is None else self.max_execution_batch_size

    @property
    def capacity(self) -> int:
        """Most rows that may wait for one signature."""
        return self.rows * self.max_enqueued_batches

    def piece(self, rows: int) -> int:
        """Return how many rows of a request stay together; if it may be split, all threads share it."""
        if self.max_execution_batch_size is None:
            return self.rows
        return min(self.rows, math.ceil(rows / self.num_batch_threads))

    def padded(self, rows: int) -> int:
        """Return the size with which a batch of so many rows runs."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


# Used where batching is not configured: no request is rejected for its length, and batches are small, so that
# a thread is free soon. Decision 5 has the figures.
IMPLICIT_BATCHING = BatchingOptions(
    max_batch_size=1 << 20, max_execution_batch_size=32, max_enqueued_batches=1 << 15, explicit=False
)


def read_of_version(folder: Path, common: BatchingOptions) -> BatchingOptions | None:
    """Read the parameters that a version in `folder` brings; None if it brings none.

    The threads are those of `common`, as all versions share them.

    Raises:
        LoadError: as `read`.
    """
    file = folder / FILE_OF_VERSION
    if not file.is_file():
        return None
    try:
        return replace(read(file), num_batch_threads=common.num_batch_threads)
    except ConfigError as error:
        raise LoadError(str(error), Code.INVALID_ARGUMENT) from error


def read(path: Path) -> BatchingOptions:
    """Read a `--batching_parameters_file`.

    Raises:
        ConfigError: the file can't be read or followed; the message names it.
    """
    try:
        return from_parameters(text_format.Parse(text_file.read(path), BatchingParameters()))
    except text_file.TextFileError as error:
        raise ConfigError(str(error)) from error
    except text_format.ParseError as error:
        raise ConfigError(f"{path} is no BatchingParameters in text format: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def from_parameters(given: BatchingParameters) -> BatchingOptions:
    """Take the parameters that are given, and the defaults for the others.

    Raises:
        ConfigError: one that makes no sense.
    """
    names = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    numbers: dict[str, int] = {name: getattr(given, name).value for name in names if given.HasField(name)}
    longest = numbers.get("max_batch_size", BatchingOptions.max_batch_size)
    if given.HasField("max_execution_batch_size"):
        longest = given.max_execution_batch_size.value
    return BatchingOptions(
        **numbers,
        explicit=True,
        allowed_batch_sizes=tuple(given.allowed_batch_sizes),
        pad_variable_length_inputs=given.pad_variable_length_inputs,
        max_execution_batch_size=longest if given.enable_large_batch_splitting.value else None,
    )
