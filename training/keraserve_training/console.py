"""Where a command prints: stdout, stderr, or a log file with the trace of an unexpected error."""

import contextlib
import errno
import io
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

# What is printed holds names that users chose: nothing in it is markup, unless a call says so.
PLAIN: Mapping[str, Any] = {"markup": False, "emoji": False, "highlight": False}
out = Console(**PLAIN)
err = Console(stderr=True, **PLAIN)


def printable() -> None:
    """Print characters that can't be encoded (a file's name need not be UTF-8) as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(sentence: str, style: str | None = None) -> None:
    """Print a sentence on stdout as one line, however long."""
    out.print(sentence, style=style, soft_wrap=True)


def fail(sentence: str, status: int = 1) -> None:
    """Print a sentence on stderr and exit."""
    complain(sentence)
    sys.exit(status)


def complain(sentence: str) -> None:
    """Print a sentence on stderr."""
    err.print(sentence, style="red", soft_wrap=True)


def unexpected(error: Exception) -> str:
    """A sentence about an unexpected error; its trace goes to a file."""
    return kept(type(error).__name__, "".join(traceback.format_exception(error)))


def kept(what: str, trace: str) -> str:
    """Write the trace of an unexpected error to a file, and return a sentence that names the file."""
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            log = folder / "keraserve-train-error.log"
            log.write_text(trace, encoding="utf-8")
            return f"Something went wrong that should not ({what}). Details are in {log}."
    return f"Something went wrong that should not ({what})."


def what_to_do(error: OSError) -> str:
    """What helps against an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Free disk space and run the same command again: it goes on where it was."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Choose a folder that you may write with --runs or --models."
    return "Run the same command again to go on."


@contextlib.contextmanager
def counted() -> Iterator[Callable[[int, int, str], None]]:
    """Count pieces: with a progress bar on a terminal, elsewhere with a line for each."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    text = TextColumn("{task.description}", markup=False)
    columns = text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
        task = progress.add_task("pieces", total=None)

        def tell(done: int, total: int, last: str) -> None:
            progress.update(task, completed=done, total=total)
            if not out.is_terminal:
                out.print(f"{done}/{total}: {last}")

        yield tell
