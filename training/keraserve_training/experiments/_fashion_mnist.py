"""What the experiments of source document 002 share: hidden layers, classes, and validation images."""

from typing import Any

from keraserve_training.data.dataset import Dataset

PAIR = (5, 6)
HIDDEN = (300, 100, 50, 50, 50)
_SET_ASIDE, _TRAINING = 5_000, 60_000


def set_aside(data: Dataset) -> tuple[Any, Any]:
    """The training images, and the first 5,000 (of 60,000, or in proportion) of them for validation."""
    aside = round(len(data.train) * _SET_ASIDE / _TRAINING)
    return data.train.after(aside), data.train.first(aside)
