"""What the experiments of source document 002 share: hidden layers, classes, and validation images."""

from dataclasses import dataclass
from typing import Any

from keraserve_training import settings as declare
from keraserve_training.data.dataset import Dataset
from keraserve_training.settings import Settings

PAIR = (5, 6)
_SET_ASIDE, _TRAINING = 5_000, 60_000


@dataclass(frozen=True)
class Dense(Settings):
    """Those of the dense network."""

    epochs: int = declare.epochs(20, "Passes over all images.")
    learning_rate: float = declare.rate(1e-3, "Learning rate.")
    batch: int = declare.batch(32)
    hidden: tuple[int, ...] = declare.units((300, 100, 50, 50, 50), "Units of each hidden layer.")


def set_aside(data: Dataset) -> tuple[Any, Any]:
    """The training images, and the first 5,000 (of 60,000, or in proportion) of them for validation."""
    aside = round(len(data.train) * _SET_ASIDE / _TRAINING)
    return data.train.after(aside), data.train.first(aside)
