"""What a user wants to be imported, and how."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

Task = Literal["images", "tensors"]
Scores = Literal["softmax", "sigmoid", "multi-label", "logits"]
"""What the last layer gives: K probabilities whose sum is 1; the probability of the second of two classes; K
independent probabilities; K values before the softmax, or one before the sigmoid."""


class Scale(Enum):
    """What pixels of 0 to 255 become before the model sees them."""

    NONE = "none"
    """0 to 255; the model scales by itself."""
    UNIT = "0..1"
    SYMMETRIC = "-1..1"
    TORCH = "torch"
    """Mean 0 and deviation 1 over ImageNet."""
    CAFFE = "caffe"
    """Mean 0 over ImageNet, channels in the order blue, green, red."""


@dataclass(frozen=True)
class Overrides:
    """What the user says; None: to be found out."""

    task: Task | None = None
    scale: Scale | None = None
    scores: Scores | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class ImportRequest:
    """What is to be imported, and how.

    Attributes:
        path: the model's file or folder.
        address: where it was downloaded from; None: it was not.
        name: under which it will be served.
        models: the repository.
        labels: file with the name of each class, a line each; None: those beside the model, or numbers.
        overrides: what the user says of it.
        images: files to compare on; none: made ones.
        labelled: files in folders of their classes, to measure precisions on.
        trusted: the programs in it may run.
        code: a Python file with its custom classes.
        any_difference: publish it even where the written version differs from the model.
        served_from: the repository as the server sees it; None: as `server_config.write`.
    """

    path: Path
    name: str
    models: Path
    labels: Path | None = None
    overrides: Overrides = field(default_factory=Overrides)
    images: Sequence[Path] = ()
    labelled: Sequence[Path] = ()
    trusted: bool = False
    code: Path | None = None
    any_difference: bool = False
    served_from: str | None = None
    address: str | None = None

    @property
    def said(self) -> str:
        """How its user knows the model: by its address, or the file's name."""
        return self.address or self.path.name
