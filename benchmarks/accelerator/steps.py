"""`Step`, and the file of steps: written where the experiments run, read where the accelerator is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Step:
    """A training step or a forward pass of a network with one batch.

    Attributes:
        experiment: the name of its experiment.
        name: the network and its phase, or the network whose output is stored as features.
        batch: examples in a batch of the experiment.
        network: the model as Keras' JSON, with the trainable layers marked.
        loss: as Keras serializes it; None for a forward pass.
        optimizer: as Keras serializes it.
        learning: the number of trainable numbers.
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
        """The step's name in results, by which `--only` chooses."""
        return f"{self.experiment}: {self.name}"


def write(file: Path, steps: Sequence[Step]) -> None:
    """Write steps as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(step) for step in steps]))


def read(file: Path) -> list[Step]:
    """Read what `write` wrote."""
    return [Step(**step) for step in json.loads(file.read_text())]
