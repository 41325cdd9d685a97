"""The options of a run: what a user may change of an experiment. The default is the source document's."""

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from keraserve_training.data.layout import LAYOUTS
from keraserve_training.errors import OptionError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_STRATEGIES = ("mirrored",)


@dataclass(frozen=True)
class Options:
    """The options of a run. None and False: not given.

    Attributes:
        data: folder of class folders with the user's own images.
        layout: how that folder is read, one of `layout.LAYOUTS`.
        backbone: a pre-trained network, a key of `networks.NETWORKS`, or `hub:PRESET`.
        alpha: width of that network, where it comes in several (MobileNet).
        weights: `imagenet`, `random` or a file.
        image_size: pixels a side of what the network gets.
        fine_tune: train the whole network after its new head.
        mixed_precision: run the frozen network in bfloat16.
        strategy: `mirrored`: all GPUs of this machine.
        name: of the exported model.
    """

    data: str | None = None
    layout: str | None = None
    backbone: str | None = None
    alpha: float | None = None
    weights: str | None = None
    image_size: int | None = None
    fine_tune: bool = False
    mixed_precision: bool = False
    strategy: Literal["mirrored"] | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Raise OptionError for values that no experiment could take."""
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise OptionError(
                f"{self.name!r} can't be a model's name: lower-case letters, digits and '-', at most 63."
            )
        if self.layout not in (None, *LAYOUTS):
            raise OptionError(f"There is no layout {self.layout!r}: take {', '.join(LAYOUTS)}.")
        if self.layout is not None and self.data is None:
            raise OptionError("--layout says how a folder is read: name it with --data.")
        if self.strategy not in (None, *_STRATEGIES):
            raise OptionError(f"There is no strategy {self.strategy!r}: take {' or '.join(_STRATEGIES)}.")
        if self.alpha is not None and self.backbone != "mobilenet":
            raise OptionError("--alpha is the width of MobileNet: name it with --backbone mobilenet.")

    def given(self) -> dict[str, Any]:
        """Those that were given, in JSON's types."""
        return {name: value for name, value in asdict(self).items() if value not in (None, False)}

    def check(self, experiment: str, takes: Collection[str]) -> None:
        """Raise OptionError if one is given that the experiment does not take."""
        wrong = [name for name in self.given() if name not in _taken(takes)]
        if wrong:
            taken = ", ".join(flag(name) for name in _NAMES if name in {*_taken(takes)} - {"name"}) or "none"
            raise OptionError(
                f"{experiment} does not take {', '.join(flag(name) for name in wrong)}; it takes {taken}."
            )

    def restricted(self, takes: Collection[str]) -> "Options":
        """Those of them that an experiment takes."""
        return Options(**{name: value for name, value in self.given().items() if name in _taken(takes)})

    def slug(self) -> str:
        """A readable part of a folder's or model's name: `cifar10-images-mobilenet-0-25-160px`; or empty."""
        weights = "" if self.weights in (None, "imagenet") else Path(self.weights or "").stem
        parts = (
            Path(self.data).name if self.data else "",
            self.layout or "",
            f"{self.backbone or ''} {self.alpha or ''}",
            weights,
            f"{self.image_size}px" if self.image_size else "",
            "fine-tuned" if self.fine_tune else "",
            "bfloat16" if self.mixed_precision else "",
            self.strategy or "",
            self.name or "",
        )
        return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")


NONE = Options()
_NAMES = tuple(field.name for field in fields(Options))


def _taken(takes: Collection[str]) -> set[str]:
    """What an experiment takes, with what follows: `name` always, and `layout` with `data`."""
    return {*takes, "name", *(["layout"] if "data" in takes else [])}


def flag(name: str) -> str:
    """How the command line writes an option."""
    return f"--{name.replace('_', '-')}"
