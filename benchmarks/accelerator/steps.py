"""What a step is, as a file: written where the experiments run, read where the accelerator is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Step:
    """What a network does with one batch.

    Attributes:
        experiment: whose it is.
        name: the network and its phase, or the network whose output is kept as features.
        batch: examples in it, as the experiment has it.
        network: the model as Keras' JSON, with which layers learn.
        loss: as Keras serializes it; None: the network only looks.
        optimizer: likewise.
        learning: how many numbers learn.
    """

    experiment: str
    name: str
    batch: int
    network: str
    loss: Mapping[str, Any] | None
    optimizer: Mapping[str, Any] | None
    learning: int

    @property
    def label(self) -> str:
        """For people, and to choose by."""
        return f"{self.experiment}: {self.name}"


def write(file: Path, steps: Sequence[Step]) -> None:
    """Write steps."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(step) for step in steps]))


def read(file: Path) -> list[Step]:
    """Read what `write` wrote."""
    return [Step(**step) for step in json.loads(file.read_text())]
