"""What the check finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["serious", "look", "note"]
"""Spoils training or its figures; worth a look; only for information."""


@dataclass(frozen=True)
class Finding:
    """One kind of fault, with all files that have it.

    Attributes:
        key: for programs.
        level: how bad it is.
        about: what it is, in a sentence with the number.
        todo: what to do.
        files: each that is affected, or those that belong together: copies of one image.
        reasons: for each of `files`, what is wrong; may be empty.
    """

    key: str
    level: Level
    about: str
    todo: str
    files: Sequence[tuple[Path, ...]] = ()
    reasons: Sequence[str] = ()
