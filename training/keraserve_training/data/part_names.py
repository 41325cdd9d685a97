"""Whether a folder is for training, validation or testing, by its name: `train`, `seg_test`, `Val-Set`."""

import re
from typing import Literal

Part = Literal["", "train", "validation", "test"]
"""What images are for; empty if a folder is not divided."""

_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "validate", "val", "valid", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst", "holdout"),
}
_WORDS: dict[str, Part] = {name: use for use, names in _NAMES.items() for name in names}
# Words that users' folders have beside those, and that say nothing about the use
_FILLERS = frozenset(
    (
        *("set", "sets", "data", "dataset", "datasets", "sample", "samples", "split", "seg", "folder", "dir"),
        *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos"),
    )
)


def part(name: str) -> Part:
    """The part that a folder is named after; empty if it is none, or the name says more than that."""
    words = [word for word in _words(name) if word not in _FILLERS]
    if len(words) != 1:
        return ""
    return _of(words[0])


def mentioned(name: str) -> Part:
    """The part that one word of the name stands for, whatever the others say: `train_more`, `test2`."""
    found: set[Part] = {_of(word) for word in _words(name)}
    found.discard("")
    return found.pop() if len(found) == 1 else _of("")


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+|[^\W_a-z]+", name.lower())


def _of(word: str) -> Part:
    """`train`, and `trainset`."""
    for filler in ("", *_FILLERS):
        stem = word.removesuffix(filler)
        if word.endswith(filler) and stem in _WORDS:
            return _WORDS[stem]
    return ""
