"""The memory that this process may have, by control groups or the machine; and bytes written as MiB."""

import os
from collections.abc import Iterator
from pathlib import Path


def limit_of_memory(root: Path = Path("/")) -> int:
    """Return the bytes that this process may have: the limit of its control groups (v2 or v1), or all."""
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
        # In a container, its group's files are at the root, and the path is the machine's.
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


def mib(size: int) -> str:
    """Write a number of bytes in MiB."""
    number = size / (1 << 20)
    return f"{number:,.0f} MiB" if number >= 1000 else f"{number:,.4g} MiB"
