"""Pictures in memory, and how an experiment takes them apart. Knows nothing of where they came from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Pictures:
    """Pictures with their classes.

    Attributes:
        images: uint8 [N, height, width, channels], values 0 to 255.
        labels: int32 [N], the class of each picture.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Pictures":
        """The first `count` pictures, or all where there are fewer."""
        return Pictures(self.images[:count], self.labels[:count])

    def after(self, count: int) -> "Pictures":
        """Everything but the first `count`."""
        return Pictures(self.images[count:], self.labels[count:])

    def without(self, classes: Sequence[int]) -> "Pictures":
        """The pictures of all other classes, which are numbered anew from 0 in their old order."""
        kept = ~np.isin(self.labels, classes)
        labels = self.labels[kept]
        shifts = sum((labels > gone).astype(np.int32) for gone in classes)
        return Pictures(self.images[kept], (labels - shifts).astype(np.int32))

    def only(self, classes: Sequence[int]) -> "Pictures":
        """The pictures of these classes, numbered by their place in `classes`."""
        kept = np.isin(self.labels, classes)
        order = {label: place for place, label in enumerate(classes)}
        labels = np.array([order[int(label)] for label in self.labels[kept]], np.int32)
        return Pictures(self.images[kept], labels)

    def digest(self) -> str:
        """SHA-256 of images and labels, in hexadecimal."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels, "<i4").data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """A data set as an experiment gets it.

    Attributes:
        name: what people call it.
        kind: where it came from.
        origin: the same for people, in words.
        classes: the name of each class.
        train: pictures to learn from, in the data set's own order.
        test: pictures that no training sees.
    """

    name: str
    kind: Literal["public", "procedural"]
    origin: str
    classes: tuple[str, ...]
    train: Pictures
    test: Pictures

    def record(self) -> dict[str, Any]:
        """What a run's configuration and a model card say about the data."""
        return {
            "name": self.name,
            "kind": self.kind,
            "origin": self.origin,
            "classes": len(self.classes),
            "train_pictures": len(self.train),
            "test_pictures": len(self.test),
            "sha256": hashlib.sha256((self.train.digest() + self.test.digest()).encode()).hexdigest(),
        }
