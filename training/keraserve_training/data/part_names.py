"""What a folder's name says about its use: `train`, `seg_test`, `Validation-Set`, `trainset`."""

import re
from typing import Literal

Part = Literal["", "train", "validation", "test"]
"""What images are for; empty where a folder is not divided."""

_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "validate", "val", "valid", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst", "holdout"),
}
_WORDS: dict[str, Part] = {name: use for use, names in _NAMES.items() for name in names}
# Words beside those that say nothing about the use
_FILLERS = frozenset(
    (
        *("set", "sets", "data", "dataset", "datasets", "sample", "samples", "split", "seg", "folder", "dir"),
        *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos"),
    )
)


def part(name: str) -> Part:
    """The part that a folder's name stands for; empty where it stands for none, or says more than that."""
    words = [word for word in _words(name) if word not in _FILLERS]
    if len(words) != 1:
        return ""
    return _of(words[0])


def mentioned(name: str) -> Part:
    """The part that a word of the name stands for, whatever else it says: `train_more`, `test2`."""
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
