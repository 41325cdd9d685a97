"""Write and read `history.csv`, which has a row for each epoch. Needs no TensorFlow."""

import csv
import io
from pathlib import Path
from typing import Any

from keraserve_models import atomic
from keraserve_training.errors import RunDamagedError

_WORDS = {"phase"}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write the rows, which may have different columns; numbers keep every digit."""
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic.write_text(path, text.getvalue())


def read(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a file of `write`; none if there is no file.

    Raises:
        RunDamagedError: it can't be read.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [
                {name: value if name in _WORDS else float(value) for name, value in row.items() if value}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError) as error:
        raise RunDamagedError(
            f"{path} is damaged ({error}): run again with --force to start anew."
        ) from error
