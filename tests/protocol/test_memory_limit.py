"""The memory that a process may have, by its control groups or the machine."""

import os
from pathlib import Path

import pytest

from keraserve_protocol.memory_limit import limit_of_memory, mib

MIB = 1 << 20
PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
NONE_V1 = str(2**63 - 4096)


def groups(root: Path, text: str, **files: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(text)
    for name, content in files.items():
        file = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_max", ".max")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


@pytest.mark.shows("KERASERVE_MAX_BYTES_IN_FLIGHT")
def test_the_limit_is_the_smallest_of_the_control_groups_and_the_machine(tmp_path: Path) -> None:
    v1 = "memory__{}memory.limit_in_bytes"
    for number, (text, files, expected) in enumerate(
        (
            ("0::/\n", {"memory_max": f"{MIB}\n"}, MIB),
            ("0::/\n", {"memory_max": "max\n"}, PHYSICAL),
            ("0::/\n", {}, PHYSICAL),
            ("0::/a/b\n", {"a__memory_max": f"{MIB}\n", "a__b__memory_max": "max\n"}, MIB),
            ("0::/a/b\n", {"a__memory_max": f"{2 * MIB}\n", "a__b__memory_max": f"{MIB}\n"}, MIB),
            ("0::/docker/4f\n", {"memory_max": f"{MIB}\n"}, MIB),  # the machine's path, the container's files
            ("9:cpu:/\n4:memory:/\n0::/\n", {v1.format(""): f"{MIB}\n"}, MIB),
            ("4:hugetlb,memory:/docker/4f\n", {v1.format("docker__4f__"): f"{MIB}\n"}, MIB),
            ("4:memory:/docker/4f\n", {v1.format(""): f"{NONE_V1}\n"}, PHYSICAL),
        )
    ):
        assert limit_of_memory(groups(tmp_path / str(number), text, **files)) == expected, (text, files)
    assert limit_of_memory(tmp_path / "not there") == PHYSICAL
    assert 0 < limit_of_memory() <= PHYSICAL


def test_bytes_are_written_for_people() -> None:
    sizes = (160 * MIB, 1312 * MIB, MIB // 2, MIB**2)
    assert list(map(mib, sizes)) == ["160 MiB", "1,312 MiB", "0.5 MiB", "1,048,576 MiB"]
