"""Several ways to do the same work, timed in turns, so that other load on the machine affects all alike."""

import ctypes
import gc
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from keraserve_models import atomic
from keraserve_training.records import provenance

Way = Callable[[], object]
_SAMPLED_SECONDS = 0.005


@dataclass
class Times:
    """The times and memory of one way.

    Attributes:
        seconds: of each round.
        memory: the greatest growth of the process's own memory (RssAnon) in a round, in bytes.
    """

    seconds: list[float] = field(default_factory=list)
    memory: int = 0


@dataclass(frozen=True)
class Comparison:
    """Several ways to do the same work.

    Attributes:
        title: the work.
        unit: what a round processes `count` of.
        ways: by name; the others are compared with the first.
        notes: other results, a sentence each.
    """

    title: str
    unit: str
    count: int
    ways: Mapping[str, Times]
    notes: list[str]

    def ratios(self) -> dict[str, float]:
        """The time of each way as a ratio of the first one's: the median of the rounds' own ratios."""
        first = next(iter(self.ways.values())).seconds
        return {
            name: median(own / other for own, other in zip(times.seconds, first, strict=True))
            for name, times in self.ways.items()
        }

    def rows(self) -> list[list[str]]:
        """Cells: way, seconds (median, lowest, highest), units a second, times as long, memory."""
        ratios = self.ratios()
        return [
            [
                name,
                f"{median(times.seconds):.2f}",
                f"{min(times.seconds):.2f} to {max(times.seconds):.2f}",
                f"{self.count / median(times.seconds):,.0f}",
                f"{ratios[name]:.2f}",
                f"{times.memory / 1e6:,.0f} MB",
            ]
            for name, times in self.ways.items()
        ]

    def columns(self) -> list[str]:
        """The titles of the cells of `rows`."""
        return ["way", "seconds", "range", f"{self.unit}/s", "times as long", "memory"]


def compare(
    title: str, unit: str, count: int, ways: Mapping[str, Way], rounds: int, notes: list[str]
) -> Comparison:
    """Time every way once in each round, after a first round that does not count."""
    times = {name: Times() for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            seconds, memory = _measured(way)
            if number:
                times[name].seconds.append(seconds)
                times[name].memory = max(times[name].memory, memory)
    return Comparison(title, unit, count, times, notes)


def _measured(way: Way) -> tuple[float, int]:
    _release()
    before, peak, over = _own_memory(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(_SAMPLED_SECONDS):
            peak = max(peak, _own_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        way()
        seconds = time.perf_counter() - began
    finally:
        over.set()
        watcher.join()
    return seconds, max(0, peak - before)


def _release() -> None:
    """Release free memory to the system, else the next way would reuse it and seem to need none."""
    gc.collect()
    if platform.system() == "Linux":
        ctypes.CDLL(None).malloc_trim(0)


def _own_memory() -> int:
    """Bytes of this process's own memory, without pages of files; 0 if the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


def write(folder: Path, settings: Mapping[str, Any], comparisons: list[Comparison]) -> str:
    """Write `training.json` and `training.md`; returns the latter's text."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = {"processors": len(os.sched_getaffinity(0)), "architecture": platform.machine()}
    content = {
        "settings": dict(settings),
        "machine": machine,
        "versions": provenance.versions(),
        "source_commit": provenance.source_commit(),
        "finished": provenance.now(),
        "comparisons": [asdict(one) | {"times_as_long": one.ratios()} for one in comparisons],
    }
    atomic.write_json(folder / "training.json", content)
    lines = [f"Settings: {', '.join(f'{name} {value}' for name, value in settings.items())}.", ""]
    for one in comparisons:
        lines += [f"### {one.title}", "", *_markdown([one.columns(), *one.rows()]), ""]
        lines += [f"- {note}" for note in one.notes] + [""] * bool(one.notes)
    atomic.write_text(folder / "training.md", text := "\n".join(lines))
    return text


def _markdown(rows: list[list[str]]) -> list[str]:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return [head, "|---" + "|---:" * (len(rows[0]) - 1) + "|", *body]
