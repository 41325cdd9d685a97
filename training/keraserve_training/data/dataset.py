"""A data set as an experiment gets it. Knows nothing of where it came from."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from keraserve_training.data.examples import Tell
from keraserve_training.data.image_files import ImageFiles
from keraserve_training.data.images import Images
from keraserve_training.data.listing import Listing

_LISTED = 20  # classes that are told one by one


@dataclass(frozen=True)
class Dataset:
    """A data set as an experiment gets it.

    Attributes:
        name: what people call it.
        kind: where it came from; `folder`: the user's own.
        origin: the same for people, in words.
        classes: the name of each class.
        train: images to learn from, in the data set's own order.
        test: images that no training sees.
        listing: all images of a user's own folder, used or not; None: the data set is no such folder.
    """

    name: str
    kind: Literal["public", "folder", "procedural"]
    origin: str
    classes: tuple[str, ...]
    train: Images | ImageFiles
    test: Images | ImageFiles
    listing: Listing | None = None

    def sized(self, size: int | None) -> "Dataset":
        """The same for a network that takes `size` by `size` pixels; None: the images as they are."""
        return replace(self, train=self.train.sized(size), test=self.test.sized(size))

    def loaded(self, tell: Tell) -> "Dataset":
        """The same with all images in memory, at the size they are wanted in, if they fit there."""
        return replace(self, train=_loaded(self.train, tell), test=_loaded(self.test, tell))

    def found(self) -> str:
        """Say which classes there are, of how many images each, and what those are for."""
        counts = [np.bincount(part.labels, minlength=len(self.classes)) for part in (self.train, self.test)]
        uses = f"{len(self.train):,} images to learn from, {len(self.test):,} to test on"
        total = f"{self.name}: {len(self.classes)} classes, {uses}"
        if len(self.classes) > _LISTED:
            few = int(np.argmin(counts[0]))
            return f"{total}; the fewest to learn from, {counts[0][few]:,}, has {self.classes[few]!r}"
        each = [
            f"{name} {learnt:,} and {tested:,}"
            for name, learnt, tested in zip(self.classes, *counts, strict=True)
        ]
        return f"{total}: {', '.join(each)}"

    def record(self) -> dict[str, Any]:
        """What a run's configuration and a model card say about the data, at whatever size it is used."""
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
        }


def _loaded(images: Images | ImageFiles, tell: Tell) -> Images | ImageFiles:
    return images if isinstance(images, Images) else images.loaded(tell)
