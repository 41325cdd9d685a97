"""Copies, and images that look the same: in train and test, in two classes, within a class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

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


def alike(images: Sequence[Placed], digests: Sequence[bytes], greys: near_copies.Greys) -> list[Finding]:
    """Images of other content that look the same; for `greys` see `near_copies.groups`."""
    numbers = near_copies.groups(digests, greys)
    groups: dict[int, dict[bytes, list[Placed]]] = {}
    for image, digest, number in zip(images, digests, numbers.tolist(), strict=True):
        groups.setdefault(number, {}).setdefault(digest, []).append(image)
    several = [[*chain(*group.values())] for group in groups.values() if len(group) > 1]
    leaks, labels, within = _divided(several)
    return _found(
        _finding(
            "alike-in-test",
            "look",
            leaks,
            "alike, some to learn from and some to test on",
            "delete in one of the parts: the figures of the test may be too good",
            groups=True,
        ),
        _finding(
            "alike-in-two-classes",
            "look",
            labels,
            "alike, in more than one class",
            "see which class is right",
            groups=True,
        ),
        _finding(
            "alike",
            "note",
            within,
            "alike, in one class",
            "nothing: where Keraserve sets images aside, these stay together",
            groups=True,
        ),
    )


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
    key: str, level: Level, found: Sequence[list[Placed]], what: str, todo: str, *, groups: bool = False
) -> Finding | None:
    if not found:
        return None
    one, many = ("group of images is", "groups of images are") if groups else ("image is", "images are")
    are = f"{len(found):,} {one if len(found) == 1 else many}"
    files = [tuple(image.file for image in group) for group in found]
    return Finding(key, level, f"{are} {what}", todo, files)


def _found(*findings: Finding | None) -> list[Finding]:
    return [finding for finding in findings if finding]
