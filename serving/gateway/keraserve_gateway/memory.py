"""Memory: how much this process may have, and how much of it the bodies of requests in flight may take."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keraserve_gateway.errors import Busy
from keraserve_gateway.settings import IN_PROCESS, Settings

COPIES = 4
"""How often a body is in memory while the model server works on it: as it came, as a message, as the bytes of
that, and in gRPC's buffers. Measured: 64.7 MiB for each of 24 bodies of 16 MiB."""
PROCESS = 160 << 20
"""Bytes for all else: 80 MiB when nothing is asked, and the one JSON body or answer that is worked on."""
_ARRIVING = 8  # the part of the memory that bodies may have which are not whole, unless it is set


class DoesNotFit(Exception):  # noqa: N818 (a sentence for the operator)
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
            Busy: then there would be too many.
        """
        if self.held + size > self.limit:
            raise Busy(f"the bodies in flight have {self.held} bytes, {self.limit} are allowed")
        self.held += size

    def give_back(self, size: int) -> None:
        """Count fewer of them."""
        self.held -= size


@dataclass(frozen=True)
class Plan:
    """What fits into memory.

    Attributes:
        bytes: of the bodies at work together.
        arriving: of those that are not whole.
        reason: why it is less than by default, if it is.
    """

    bytes: int
    arriving: int
    reason: str | None = None


def plan(settings: Settings, limit: int) -> Plan:
    """Find out what fits into `limit` bytes of memory.

    Raises:
        DoesNotFit: not even one body does, or not what the settings name.
    """
    if settings.model_server == IN_PROCESS:
        limit //= 2  # the rest is TensorFlow's and the models'
    arriving = settings.max_arriving_bytes
    if "max_arriving_bytes" not in settings.model_fields_set:
        arriving = min(arriving, max(limit // _ARRIVING, settings.max_body_bytes))
    fits = (limit - PROCESS - arriving) // COPIES
    wanted = max(settings.max_bytes_in_flight, settings.max_body_bytes)
    if wanted <= fits:
        return Plan(wanted, arriving)
    needed = (
        f"{_mib(PROCESS)} for the process, {_mib(arriving)} for bodies that arrive and {COPIES} x"
        f" {_mib(wanted)} for those in flight are {_mib(PROCESS + arriving + COPIES * wanted)},"
        f" and the memory limit leaves {_mib(limit)}"
    )
    if "max_bytes_in_flight" in settings.model_fields_set or fits < settings.max_body_bytes:
        raise DoesNotFit(
            f"{needed}: raise that limit, or lower max_bytes_in_flight, max_body_bytes or max_arriving_bytes"
        )
    return Plan(fits, arriving, f"{needed}: bodies in flight may have {_mib(fits)} together")


def limit_of_memory(root: Path = Path("/")) -> int:
    """Give the bytes that this process may have: by its control groups (v2 or v1), else the machine's."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *_limits_of_groups(root)])


def _limits_of_groups(root: Path) -> Iterator[int]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mount, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = mount / path.lstrip("/")
        # A container sees its own group as the root, under whatever path the machine has for it.
        for folder in (group, *group.parents):
            if folder.is_relative_to(mount):
                yield from _read(folder / name)


def _read(file: Path) -> Iterator[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return
    if text.isdecimal():  # else "max"
        yield int(text)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.4g} MiB"
