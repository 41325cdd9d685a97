"""Check a folder of a user's own images."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keraserve_protocol import image_formats
from keraserve_training.checking import copies, looks
from keraserve_training.checking.copies import Placed
from keraserve_training.checking.finding import Finding, Level
from keraserve_training.checking.measures import measure
from keraserve_training.data import image_files, layout, reduced
from keraserve_training.data.image_search import Rejected, why_not_decoded
from keraserve_training.data.layout import Layout
from keraserve_training.progress import Show

_IMBALANCE = 10  # the largest class in the smallest; from here on Google's ML course speaks of "moderate"
_LEVELS = ("serious", "look", "note")


@dataclass(frozen=True)
class Checked:
    """What was found in a folder.

    Attributes:
        layout: how it was read.
        findings: the worst ones first.
        seconds: how long it took.
    """

    layout: Layout
    findings: list[Finding]
    seconds: float

    @property
    def serious(self) -> bool:
        """Whether something spoils training or its figures."""
        return any(finding.level == "serious" for finding in self.findings)

    @property
    def parts(self) -> dict[str, dict[str, int]]:
        """How many files each class has in each part; the part of a folder that is not divided is empty."""
        counts: dict[str, dict[str, int]] = {}
        for (part, name), files in self.layout.files.items():
            counts.setdefault(part, {})[name] = len(files)
        return counts


def check(root: Path, how: str | None, size: int, show: Show) -> Checked:
    """Look at all images below a folder.

    Args:
        root: the folder, resolved.
        how: one of `layout.LAYOUTS`; None: the one that fits.
        size: pixels a side of what the network gets.
        show: displays the progress.

    Raises:
        DataUnavailableError: there is no such folder, or it can be read in two ways.
    """
    began = time.monotonic()
    found = layout.find(root, how)
    images = [
        Placed(file, part == "test", name) for (part, name), files in found.files.items() for file in files
    ]
    show.start(root.name, max(1, len(images)), 0, "image")
    measured = measure([image.file for image in images], show.part)
    good = [image for image, each in zip(images, measured, strict=True) if each]
    seen = [each for each in measured if each]
    files = [image.file for image in good]
    digests = image_files.digests(files)
    greys = np.array([each.small for each in seen], np.uint8).reshape(-1, reduced.SIDE, reduced.SIDE)
    findings = [
        *_classes(found),
        *_undecoded([image.file for image, each in zip(images, measured, strict=True) if not each]),
        *copies.exact(good, digests),
        *copies.alike(good, digests, greys),
        *looks.looks(files, seen, size),
        *_left_out(found),
    ]
    findings.sort(key=lambda finding: _LEVELS.index(finding.level))
    show.stop()
    return Checked(found, findings, time.monotonic() - began)


def _classes(found: Layout) -> Iterator[Finding]:
    for fault in layout.faults(found):
        about, _, todo = fault.partition(": ")
        yield Finding("classes", "serious", about, todo.rstrip("."))
    counts = {name: len(files) for name, files in found.train.items() if files}
    if len(counts) > 1:
        many, few = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
        if counts[many] >= _IMBALANCE * counts[few]:
            ratio = f"{counts[many] / counts[few]:.0f} times as many images to learn from as {few!r}"
            todo = f"add images of {few!r}: a network learns to say {many!r}"
            yield Finding("imbalance", "look", f"the class {many!r} has {ratio}", todo)


def _undecoded(files: list[Path]) -> Iterator[Finding]:
    if files:
        about = "1 file can't be decoded" if len(files) == 1 else f"{len(files):,} files can't be decoded"
        reasons = [why_not_decoded(file) for file in files]
        todo = "replace or delete: training leaves such files out, and a served model rejects them"
        yield Finding("undecodable", "serious", about, todo, [(file,) for file in files], reasons)


def _left_out(found: Layout) -> Iterator[Finding]:
    loose = [each for each in found.rejected if each.file.name.lower().endswith(image_formats.SUFFIXES)]
    others = [each for each in found.rejected if each not in loose]
    if loose:
        about = "1 image is in no class" if len(loose) == 1 else f"{len(loose):,} images are in no class"
        yield _listing("in-no-class", "look", about, "move into the folder of a class", loose)
    if others:
        are = "1 file or folder is" if len(others) == 1 else f"{len(others):,} files and folders are"
        yield _listing("ignored", "note", f"{are} ignored", "nothing, if these are no images", others)


def _listing(key: str, level: Level, about: str, todo: str, rejected: list[Rejected]) -> Finding:
    files = [(each.file,) for each in rejected]
    return Finding(key, level, about, todo, files, [each.reason for each in rejected])
