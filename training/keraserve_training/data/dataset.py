"""A data set as an experiment gets it. Knows nothing of where it came from."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

from keraserve_training.data.examples import Tell
from keraserve_training.data.picture_files import PictureFiles
from keraserve_training.data.pictures import Pictures


@dataclass(frozen=True)
class Dataset:
    """A data set as an experiment gets it.

    Attributes:
        name: what people call it.
        kind: where it came from; `folder`: the user's own.
        origin: the same for people, in words.
        classes: the name of each class.
        train: pictures to learn from, in the data set's own order.
        test: pictures that no training sees.
    """

    name: str
    kind: Literal["public", "folder", "procedural"]
    origin: str
    classes: tuple[str, ...]
    train: Pictures | PictureFiles
    test: Pictures | PictureFiles

    def sized(self, size: int | None) -> "Dataset":
        """The same for a network that takes `size` by `size` pixels; None: the pictures as they are."""
        return replace(self, train=self.train.sized(size), test=self.test.sized(size))

    def loaded(self, tell: Tell) -> "Dataset":
        """The same with all pictures in memory, at the size they are wanted in, if they fit there."""
        return replace(self, train=_loaded(self.train, tell), test=_loaded(self.test, tell))

    def record(self) -> dict[str, Any]:
        """What a run's configuration and a model card say about the data, at whatever size it is used."""
        both = self.train.sized(None).digest() + self.test.sized(None).digest()
        return {
            "name": self.name,
            "kind": self.kind,
            "origin": self.origin,
            "classes": len(self.classes),
            "train_pictures": len(self.train),
            "test_pictures": len(self.test),
            "sha256": hashlib.sha256(both.encode()).hexdigest(),
        }


def _loaded(pictures: Pictures | PictureFiles, tell: Tell) -> Pictures | PictureFiles:
    return pictures if isinstance(pictures, Pictures) else pictures.loaded(tell)
