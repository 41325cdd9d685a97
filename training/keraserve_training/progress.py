"""Progress displays for training: a bar on a terminal, a line for each epoch elsewhere, or nothing."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Row = dict[str, Any]


class Show:
    """A progress display: its methods are called when something happens. This one shows nothing."""

    def tell(self, sentence: str) -> None:
        """Print a sentence."""

    def start(self, name: str, total: int, done: int, unit: str = "epoch") -> None:
        """A network's training begins, or goes on after `done` epochs; or work of another unit does."""

    def batch(self, share: float) -> None:
        """A part of the current epoch is done, 0 to 1."""

    def epoch(self, row: Row) -> None:
        """An epoch is over; `row` is its line of the history."""

    def part(self, done: int) -> None:
        """So many units of work other than training are done."""

    def stop(self) -> None:
        """All of it is done."""


SILENT = Show()

_WIDE = 120  # columns of a terminal that has room for all figures and the elapsed time


class Lines(Show):
    """Prints plain lines, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name, self._total = "", 0

    def tell(self, sentence: str) -> None:
        """Print it."""
        self._console.print(sentence, soft_wrap=True)

    def start(self, name: str, total: int, done: int, unit: str = "epoch") -> None:
        """Print what starts, and where it goes on."""
        self._name, self._total = name, total
        if done:
            self.tell(f"{name}: goes on after {unit} {done} of {total}")

    def epoch(self, row: Row) -> None:
        """Print the epoch's figures."""
        self.tell(f"{self._name}: epoch {row['epoch']}/{self._total}, {figures(row)}, {row['seconds']:.1f} s")


class Bars(Show):
    """Draws one bar for each network, with the remaining time and the last figure. A context manager."""

    def __init__(self, console: Console) -> None:
        self._wide = console.width >= _WIDE
        elapsed = [TimeElapsedColumn()] if self._wide else []
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24 if self._wide else 10),
            TextColumn("{task.fields[epoch]}"),
            TextColumn("{task.fields[figures]}", style="cyan"),
            *elapsed,
            TextColumn("[dim]left"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task: TaskID | None = None
        self._total = self._done = 0
        self._unit = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def tell(self, sentence: str) -> None:
        """Print it above the bars."""
        self._progress.console.print(sentence)

    def start(self, name: str, total: int, done: int, unit: str = "epoch") -> None:
        """Draw a bar."""
        self._total, self._done, self._unit = total, done, unit
        self._task = self._progress.add_task(
            name, total=total, completed=done, epoch=f"{unit} {done}/{total}", figures=""
        )

    def batch(self, share: float) -> None:
        """Move it a little."""
        if self._task is not None:
            self._progress.update(self._task, completed=self._done + share)

    def epoch(self, row: Row) -> None:
        """Move it to the epoch's end and show its figures."""
        if self._task is not None:
            self.part(row["epoch"])
            said = figures(row) if self._wide else figures(row).rpartition("  ")[2]
            self._progress.update(self._task, figures=said)

    def part(self, done: int) -> None:
        """Move it to what is done."""
        if self._task is not None:
            self._done = done
            self._progress.update(self._task, completed=done, epoch=f"{self._unit} {done}/{self._total}")


def figures(row: Row) -> str:
    """An epoch's figures in one line."""
    parts = [f"loss {row['loss']:.3f}"]
    if "accuracy" in row:
        parts.append(f"accuracy {row['accuracy']:.3f}")
    if "val_accuracy" in row:
        parts.append(f"validation {row['val_accuracy']:.3f}")
    return "  ".join(parts)
