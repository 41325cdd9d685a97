"""Bits of bfloat16 (the upper half of a float32), which `struct` and numpy lack, to numbers and back."""

import math
import struct
from collections.abc import Sequence


def to_numbers(bits: Sequence[int]) -> tuple[float, ...]:
    """Decode numbers from their 16 bits each."""
    return struct.unpack(f"<{len(bits)}f", struct.pack(f"<{len(bits)}I", *(one << 16 for one in bits)))


def pack(number: float) -> bytes:
    """Encode the nearest bfloat16, little-endian; of two equally near ones the even one.

    Raises:
        OverflowError: a finite number would become infinite.
    """
    (exact,) = struct.unpack("<I", struct.pack("<f", number))
    if math.isnan(number):
        return struct.pack("<H", exact >> 16 | 0x40)  # its payload may be in the lower half alone
    rounded = (exact + 0x7FFF + (exact >> 16 & 1)) >> 16
    if rounded & 0x7FFF == 0x7F80 and not math.isinf(number):
        raise OverflowError("bfloat16 has no such number")
    return struct.pack("<H", rounded)
