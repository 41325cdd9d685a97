"""Divide the memory of this process among models, messages of requests, and images while they are decoded."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from keraserve_embedded.errors import StartError
from keraserve_embedded.models.decode_memory import MOST_BYTES_PER_PIXEL
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.models.repository import fingerprint
from keraserve_protocol.image_formats import MAX_PIXELS
from keraserve_protocol.memory_limit import mib

log = logging.getLogger(__name__)

TENSORFLOW = 384 << 20
"""Bytes of TensorFlow and Python without a model: 227 MiB were measured, the rest is for threads."""
COPIES = 5
"""How often a message is in memory at most: arriving, complete, parsed, as arrays, as tensors."""
IN_FLIGHT = 256 << 20
"""Bytes of the messages of requests in flight, unless set otherwise or less fits."""
MIN_IN_FLIGHT = 64 << 20
"""The largest gRPC message: the start fails if there is no memory for it."""
ONE_IMAGE = MAX_PIXELS * MOST_BYTES_PER_PIXEL
"""Bytes of the largest image that exported models decode."""
MIN_DECODING = ONE_IMAGE // 8
"""The start fails if less is left for decoding."""


@dataclass(frozen=True)
class MemoryPlan:
    """The limits that fit into memory.

    Attributes:
        in_flight: bytes of the messages of requests in flight.
        decoding: bytes of the images that are decoded at the same time.
    """

    in_flight: int
    decoding: int


@dataclass(frozen=True)
class MemoryLimits:
    """The operator's limits; None: as much as fits.

    Attributes:
        in_flight: most bytes of the messages of requests in flight; 0: the gateway limits them.
        decoding: most bytes of the images that are decoded at the same time.
    """

    in_flight: int | None = None
    decoding: int | None = None


NO_LIMITS = MemoryLimits()


def plan(limits: MemoryLimits, models: int, available: int) -> MemoryPlan:
    """Divide the memory, and log how; limits that are set are never lowered.

    Args:
        limits: the operator's.
        models: the bytes of the models on disk; they take at least as many in memory.
        available: the bytes that this process may have.

    Raises:
        StartError: the set or smallest limits do not fit; the message shows the sum.
    """
    rest = available - TENSORFLOW - models
    least_decoding = MIN_DECODING if limits.decoding is None else limits.decoding
    in_flight = IN_FLIGHT if limits.in_flight is None else limits.in_flight
    if limits.in_flight is None:
        wanted = ONE_IMAGE if limits.decoding is None else limits.decoding
        in_flight = max(min(in_flight, (rest - wanted) // COPIES), MIN_IN_FLIGHT)
    decoding = rest - COPIES * in_flight if limits.decoding is None else limits.decoding
    needed = (
        f"{mib(TENSORFLOW)} for TensorFlow, {mib(models)} for the models' files, {COPIES} x {mib(in_flight)}"
        f" for messages in flight and {mib(max(decoding, least_decoding))} for decoding"
    )
    total = TENSORFLOW + models + COPIES * in_flight + max(decoding, least_decoding)
    if total > available:
        lower = [
            flag
            for flag, value in (
                ("--max_bytes_in_flight", limits.in_flight),
                ("--max_decoding_bytes", limits.decoding),
            )
            if value
        ]
        raise StartError(
            f"{needed} are {mib(total)}, and the model server's part of the memory limit is {mib(available)}:"
            f" raise that limit, serve fewer models{', or lower ' + ' or '.join(lower) if lower else ''}"
        )
    write_line = log.info
    if decoding < ONE_IMAGE or (limits.in_flight is None and in_flight < IN_FLIGHT):
        write_line = log.warning
    write_line("memory: %s, of %s", needed, mib(available))
    if decoding < ONE_IMAGE:
        log.warning(
            "images that take more than %s to decode are rejected; the largest take %s",
            mib(decoding), mib(ONE_IMAGE),
        )  # fmt: skip
    return MemoryPlan(in_flight, decoding)


def bytes_of_models(entries: Sequence[ModelEntry]) -> int:
    """Add up the sizes of the files of the versions that should serve, if they can be read."""
    return sum(
        size
        for entry in entries
        for version in entry.aspired()
        for _, size, _ in fingerprint(entry.base_path / str(version))
    )
