"""A data set as an experiment gets it, wherever it came from."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keraserve_training.data.examples import Tell
from keraserve_training.data.image_files import ImageFiles
from keraserve_training.data.images import Images
from keraserve_training.data.listing import Listing

_LISTED = 20  # classes that are listed one by one


@dataclass(frozen=True)
class Dataset:
    """A data set as an experiment gets it.

    Attributes:
        kind: where it came from; `folder`: the user's own.
        origin: where it came from, in words.
        classes: the name of each class.
        train: images to learn from, in the data set's own order.
        test: images that are never learnt from.
        listing: all images of the user's own folder, used or not; None for other kinds.
        copies: a sentence on how copies among the user's images were kept together; empty without copies.
        doubts: sentences on what makes figures of the user's images doubtful.
    """

    name: str
    kind: Literal["public", "folder", "procedural"]
    origin: str
    classes: tuple[str, ...]
    train: Images | ImageFiles
    test: Images | ImageFiles
    listing: Listing | None = None
    copies: str = ""
    doubts: tuple[str, ...] = ()

    def sized(self, size: int | None) -> "Dataset":
        """The same at `size` by `size` pixels; None: the images' own sizes."""
        return replace(self, train=self.train.sized(size), test=self.test.sized(size))

    def kept(self, folder: Path) -> "Dataset":
        """The same, with decoded copies of its large files in a folder."""
        parts = (
            replace(part, copies=folder) if isinstance(part, ImageFiles) else part
            for part in (self.train, self.test)
        )
        return replace(self, **dict(zip(("train", "test"), parts, strict=True)))

    def loaded(self, tell: Tell) -> "Dataset":
        """The same with all images decoded in memory, at the size that was set, if they fit there."""
        return replace(self, train=self.train.loaded(tell), test=self.test.loaded(tell))

    def found(self) -> str:
        """A sentence: which classes there are, with how many images to learn from and to test on."""
        counts = [np.bincount(part.labels, minlength=len(self.classes)) for part in (self.train, self.test)]
        uses = f"{len(self.train):,} images to learn from, {len(self.test):,} to test on"
        total = f"{self.name}: {len(self.classes)} classes, {uses}"
        if len(self.classes) > _LISTED:
            few = int(np.argmin(counts[0]))
            return f"{total}; the fewest to learn from, {counts[0][few]:,}, has {self.classes[few]!r}"
        classes = zip(self.classes, *counts, strict=True)
        return f"{total}: {', '.join(f'{name} {train:,} and {test:,}' for name, train, test in classes)}"

    def record(self) -> dict[str, Any]:
        """The data's entry in a run's configuration and in a model card; the same at every size."""
        both = self.train.sized(None).digest() + self.test.sized(None).digest()
        return {
            "name": self.name,
            "kind": self.kind,
            "origin": self.origin,
            "classes": len(self.classes),
            "class_names": list(self.classes),
            "train_images": len(self.train),
            "test_images": len(self.test),
            "sha256": hashlib.sha256(both.encode()).hexdigest(),
            "copies": self.copies,
            "doubts": list(self.doubts),
        }
