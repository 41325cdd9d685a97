"""What the user sees while a network learns: a bar on a terminal, a line an epoch elsewhere, or nothing."""

from types import TracebackType
from typing import Any, Protocol, Self

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


class Show(Protocol):
    """Is told what happens."""

    def tell(self, sentence: str) -> None:
        """Something worth a line."""

    def start(self, name: str, epochs: int, done: int) -> None:
        """A network starts to learn, or goes on after `done` epochs."""

    def batch(self, share: float) -> None:
        """A part of the current epoch is done, 0 to 1."""

    def epoch(self, row: Row) -> None:
        """An epoch is over; `row` is its line of the history."""

    def stop(self) -> None:
        """The network has learnt."""


class Silent:
    """Shows nothing."""

    def tell(self, sentence: str) -> None:
        """Say nothing."""

    def start(self, name: str, epochs: int, done: int) -> None:
        """Say nothing."""

    def batch(self, share: float) -> None:
        """Say nothing."""

    def epoch(self, row: Row) -> None:
        """Say nothing."""

    def stop(self) -> None:
        """Say nothing."""


class Lines(Silent):
    """Prints plain lines, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name, self._epochs = "", 0

    def tell(self, sentence: str) -> None:
        """Print it."""
        self._console.print(sentence, highlight=False, soft_wrap=True)

    def start(self, name: str, epochs: int, done: int) -> None:
        """Print what starts, and where it goes on."""
        self._name, self._epochs = name, epochs
        if done:
            self.tell(f"{name}: goes on after epoch {done} of {epochs}")

    def epoch(self, row: Row) -> None:
        """Print the epoch's figures."""
        self.tell(
            f"{self._name}: epoch {row['epoch']}/{self._epochs}, {figures(row)}, {row['seconds']:.1f} s"
        )


class Bars(Silent):
    """Draws one bar for each network, with the time that is left. A context manager."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[epoch]}"),
            TextColumn("{task.fields[figures]}", style="cyan"),
            TimeElapsedColumn(),
            TextColumn("[dim]left"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task: TaskID | None = None
        self._epochs = self._done = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def tell(self, sentence: str) -> None:
        """Print it above the bars."""
        self._progress.console.print(sentence, highlight=False)

    def start(self, name: str, epochs: int, done: int) -> None:
        """Draw a bar."""
        self._epochs, self._done = epochs, done
        self._task = self._progress.add_task(
            name, total=epochs, completed=done, epoch=f"epoch {done}/{epochs}", figures=""
        )

    def batch(self, share: float) -> None:
        """Move it a little."""
        if self._task is not None:
            self._progress.update(self._task, completed=self._done + share)

    def epoch(self, row: Row) -> None:
        """Move it to the epoch's end and show its figures."""
        if self._task is not None:
            self._done = row["epoch"]
            text = f"epoch {self._done}/{self._epochs}"
            self._progress.update(self._task, completed=self._done, epoch=text, figures=figures(row))


def figures(row: Row) -> str:
    """An epoch's figures in one line."""
    parts = [f"loss {row['loss']:.3f}"]
    if "accuracy" in row:
        parts.append(f"accuracy {row['accuracy']:.3f}")
    if "val_accuracy" in row:
        parts.append(f"validation {row['val_accuracy']:.3f}")
    return "  ".join(parts)
