"""Copies, and images that look the same: in train and test, in two classes, within a class."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from keraserve_training.checking.finding import Finding, Level
from keraserve_training.data import near_copies


@dataclass(frozen=True)
class Placed:
    """An image file with its place.

    Attributes:
        tested: whether it is in the user's own test part.
        label: its class.
    """

    file: Path
    tested: bool
    label: str


def exact(images: Sequence[Placed], digests: Sequence[bytes]) -> list[Finding]:
    """Files with the same content; `digests` has one of each."""
    groups: dict[bytes, list[Placed]] = {}
    for image, digest in zip(images, digests, strict=True):
        groups.setdefault(digest, []).append(image)
    copies = [group for group in groups.values() if len(group) > 1]
    leaks, labels, within = _divided(copies)
    return _found(
        _finding(
            "copies-in-test",
            "serious",
            leaks,
            "both to learn from and to test on",
            "delete in one of the parts: figures of images that were learnt from are too good",
        ),
        _finding(
            "contradicting-labels",
            "serious",
            labels,
            "in more than one class",
            "keep each in the class that it shows",
        ),
        _finding(
            "copies",
            "look",
            within,
            "there more than once, in one class",
            "keep one of each; where Keraserve sets images aside, copies stay together",
        ),
    )


def alike(images: Sequence[Placed], digests: Sequence[bytes], greys: npt.NDArray[np.uint8]) -> list[Finding]:
    """Images of other content that look the same, in pairs; for `greys` see `near_copies.pairs`."""
    copies: dict[bytes, list[Placed]] = {}
    for image, digest in zip(images, digests, strict=True):
        copies.setdefault(digest, []).append(image)
    first = {digest: place for place, digest in reversed([*enumerate(digests)])}
    places = sorted(first.values())
    pairs: list[list[Placed]] = []
    for i, j in near_copies.pairs(greys[places]):
        pairs.append(_nearest(copies[digests[places[i]]], copies[digests[places[j]]]))
    leaks, labels, within = _divided(pairs)
    return _found(
        _finding(
            "alike-in-test",
            "look",
            leaks,
            "alike: one is to learn from, the other to test on",
            "delete one of each: the figures of the test may be too good",
            pairs=True,
        ),
        _finding(
            "alike-in-two-classes",
            "look",
            labels,
            "alike, and in two classes",
            "see which class is right",
            pairs=True,
        ),
        _finding(
            "alike",
            "note",
            within,
            "alike, in one class",
            "nothing: where Keraserve sets images aside, these stay together",
            pairs=True,
        ),
    )


def _nearest(one: Collection[Placed], other: Collection[Placed]) -> list[Placed]:
    """Of the copies of two images that look the same, the two whose places are the worst."""
    pairs = [[a, b] for a in one for b in other]
    return max(pairs, key=lambda pair: (pair[0].tested != pair[1].tested, pair[0].label != pair[1].label))


def _divided(groups: Iterable[list[Placed]]) -> tuple[list[list[Placed]], ...]:
    """Those in train and test, those in several classes (both may have one), and the rest."""
    leaks: list[list[Placed]] = []
    labels: list[list[Placed]] = []
    within: list[list[Placed]] = []
    for group in groups:
        leak = len({image.tested for image in group}) > 1
        several = len({image.label for image in group}) > 1
        leaks += [group] * leak
        labels += [group] * several
        within += [group] * (not leak and not several)
    return leaks, labels, within


def _finding(
    key: str, level: Level, groups: Sequence[list[Placed]], what: str, todo: str, *, pairs: bool = False
) -> Finding | None:
    if not groups:
        return None
    one, many = ("pair of images is", "pairs of images are") if pairs else ("image is", "images are")
    are = f"{len(groups):,} {one if len(groups) == 1 else many}"
    files = [tuple(image.file for image in group) for group in groups]
    return Finding(key, level, f"{are} {what}", todo, files)


def _found(*findings: Finding | None) -> list[Finding]:
    return [finding for finding in findings if finding]
