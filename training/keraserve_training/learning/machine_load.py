"""How much of the processors' time other processes took: measured times count only where that is little."""

import os
import time
from pathlib import Path

_STATISTICS = Path("/proc/stat")
_IDLE = slice(3, 5)  # idle, iowait
_NAMED = 8  # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already


class Others:
    """Measures the load by other processes since this object was made."""

    def __init__(self) -> None:
        self._since = self._now()

    def share(self) -> float | None:
        """The part of all processors' time, 0 to 1, that other processes took; None: not known here."""
        now = self._now()
        if now is None or self._since is None:
            return None
        busy, own, wall = (end - start for end, start in zip(now, self._since, strict=True))
        capacity = wall * (os.cpu_count() or 1)
        return round(min(1.0, max(0.0, busy - own) / capacity), 3) if capacity > 0 else None

    def _now(self) -> tuple[float, float, float] | None:
        """Seconds in which any processor was busy, those that this process took, and of the clock."""
        try:
            fields = _STATISTICS.read_text().split("\n", 1)[0].split()[1 : _NAMED + 1]
            ticks = [int(field) for field in fields]
        except (OSError, ValueError):  # not Linux
            return None
        busy = (sum(ticks) - sum(ticks[_IDLE])) / os.sysconf("SC_CLK_TCK")
        return busy, sum(os.times()[:4]), time.monotonic()
