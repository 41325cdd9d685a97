"""The memory budget: how many bytes the bodies of requests in flight may have."""

from dataclasses import dataclass

from keraserve_gateway.errors import Overloaded
from keraserve_gateway.settings import IN_PROCESS, Settings
from keraserve_protocol.memory_limit import mib

COPIES = 4
"""How often a body is in memory while the model server processes it: as it arrived, as a message, as that
message's bytes, and in gRPC's buffers. Measured: 64.7 MiB for each of 24 bodies of 16 MiB."""
PROCESS = 160 << 20
"""Bytes for all else: an idle process has 80 MiB; the rest is for one JSON body or response at a time."""
_ARRIVING_PART = 8  # incomplete bodies may have an eighth of the memory, unless that is set


class MemoryExceeded(Exception):  # noqa: N818 (a sentence for the operator)
    """Settings that need more memory than there is; the message shows the sum."""


@dataclass
class BodyBytes:
    """Counts the bytes of the bodies in flight. For one event loop, not for threads.

    Attributes:
        limit: how many there may be together.
        held: how many there are.
    """

    limit: int
    held: int = 0

    def take(self, size: int) -> None:
        """Count more bytes.

        Raises:
            Overloaded: there would be too many.
        """
        if self.held + size > self.limit:
            raise Overloaded(
                f"the bodies in flight have {self.held} bytes, {self.limit} are allowed (max_bytes_in_flight)"
            )
        self.held += size

    def give_back(self, size: int) -> None:
        """Count fewer bytes."""
        self.held -= size


@dataclass(frozen=True)
class MemoryBudget:
    """What fits into memory.

    Attributes:
        bytes: of the bodies of all requests in flight.
        arriving: bytes of all incomplete bodies.
        reason: why `bytes` is less than the default, if it is.
    """

    bytes: int
    arriving: int
    reason: str | None = None


def plan(settings: Settings, limit: int) -> MemoryBudget:
    """Compute what fits into `limit` bytes of memory.

    Raises:
        MemoryExceeded: not even one body fits, or not what the settings ask for.
    """
    if settings.model_server == IN_PROCESS:
        limit //= 2  # the rest is for TensorFlow and the models
    arriving = settings.max_arriving_bytes
    if "max_arriving_bytes" not in settings.model_fields_set:
        arriving = min(arriving, max(limit // _ARRIVING_PART, settings.max_body_bytes))
    fits = (limit - PROCESS - arriving) // COPIES
    wanted = max(settings.max_bytes_in_flight, settings.max_body_bytes)
    if wanted <= fits:
        return MemoryBudget(wanted, arriving)
    needed = (
        f"{mib(PROCESS)} for the process, {mib(arriving)} for bodies that arrive and {COPIES} x"
        f" {mib(wanted)} for those in flight are {mib(PROCESS + arriving + COPIES * wanted)},"
        f" and the memory limit leaves {mib(limit)}"
    )
    if "max_bytes_in_flight" in settings.model_fields_set or fits < settings.max_body_bytes:
        raise MemoryExceeded(
            f"{needed}: raise that limit, or lower max_bytes_in_flight, max_body_bytes or max_arriving_bytes"
        )
    return MemoryBudget(fits, arriving, f"{needed}: bodies in flight may have {mib(fits)} together")
