"""The memory budget: how many bytes the bodies of requests in flight may have."""

from dataclasses import dataclass

from keraserve_gateway.errors import Overloaded
from keraserve_gateway.settings import IN_PROCESS, Settings
from keraserve_protocol.memory_limit import mib

COPIES = 4
"""How often a body is in memory while the model server works on it: as it came, as a message, as the bytes of
that, and in gRPC's buffers. Measured: 64.7 MiB for each of 24 bodies of 16 MiB."""
PROCESS = 160 << 20
"""Bytes for all else: 80 MiB when nothing is asked, and the one JSON body or answer that is worked on."""
_ARRIVING = 8  # the part of the memory that bodies may have which are not whole, unless it is set


class MemoryExceeded(Exception):  # noqa: N818 (a sentence for the operator)
    """Settings that need more memory than there is; the message shows the sum."""


@dataclass
class BodyBytes:
    """Counts the bytes of the bodies in flight. Of one event loop; not for threads.

    Attributes:
        limit: how many there may be together.
        held: how many there are.
    """

    limit: int
    held: int = 0

    def take(self, size: int) -> None:
        """Count more of them; to be given back.

        Raises:
            Overloaded: then there would be too many.
        """
        if self.held + size > self.limit:
            raise Overloaded(
                f"the bodies in flight have {self.held} bytes, {self.limit} are allowed (max_bytes_in_flight)"
            )
        self.held += size

    def give_back(self, size: int) -> None:
        """Count fewer of them."""
        self.held -= size


@dataclass(frozen=True)
class MemoryBudget:
    """What fits into memory.

    Attributes:
        bytes: of the bodies at work together.
        arriving: of those that are not whole.
        reason: why it is less than by default, if it is.
    """

    bytes: int
    arriving: int
    reason: str | None = None


def plan(settings: Settings, limit: int) -> MemoryBudget:
    """Find out what fits into `limit` bytes of memory.

    Raises:
        MemoryExceeded: not even one body does, or not what the settings name.
    """
    if settings.model_server == IN_PROCESS:
        limit //= 2  # the rest is TensorFlow's and the models'
    arriving = settings.max_arriving_bytes
    if "max_arriving_bytes" not in settings.model_fields_set:
        arriving = min(arriving, max(limit // _ARRIVING, settings.max_body_bytes))
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
