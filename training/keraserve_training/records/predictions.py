"""Each network's predictions for the test images, kept to compare two networks on the same images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from keraserve_models import atomic
from keraserve_protocol.evaluation import mcnemar
from keraserve_training.errors import NotComparableError, RunDamagedError
from keraserve_training.records import run_folder


@dataclass(frozen=True)
class Predictions:
    """A network's predictions for the test images.

    Attributes:
        predicted: int32 [N], the class with the highest probability for each image.
        labels: int32 [N], the true classes.
        images: SHA-256 of the images, not resized, and their labels, in this order.
    """

    predicted: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    images: str

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each prediction is right, bool [N]."""
        return self.predicted == self.labels


@dataclass(frozen=True)
class Paired:
    """Two networks on the same test images.

    Attributes:
        gained: images that only the second gets right.
        lost: images that only the first gets right.
        count: of all images.
    """

    gained: int
    lost: int
    count: int

    @property
    def p(self) -> float:
        """Exact two-sided p-value of McNemar's test."""
        return mcnemar(self.gained, self.lost)


def write(folder: Path, network: str, predictions: Predictions) -> None:
    """Keep a network's predictions in its run's folder."""
    content: dict[str, Any] = {
        "predicted": predictions.predicted.astype(np.int32),
        "labels": predictions.labels.astype(np.int32),
        "images": np.array(predictions.images),
    }
    file = folder / run_folder.predictions_file(network)
    atomic.write_with(file, lambda part: np.savez_compressed(part, **content))


def read(folder: Path, network: str) -> Predictions:
    """Read the predictions of a network in a run's folder.

    Raises:
        NotComparableError: an older version made the run and kept none.
        RunDamagedError: the file can't be read.
    """
    file = folder / run_folder.predictions_file(network)
    if not file.exists():
        raise NotComparableError(
            f"{folder.parent.name} did not keep what it said of each test image (an older version made that"
            " run): the two can't be compared in pairs."
        )
    try:
        with np.load(file, allow_pickle=False) as content:
            found = Predictions(content["predicted"], content["labels"], str(content["images"]))
    except (OSError, ValueError, KeyError) as error:
        raise RunDamagedError(f"{file} can't be read ({error}): run again with --force.") from error
    if found.predicted.shape != found.labels.shape or found.labels.ndim != 1:
        raise RunDamagedError(f"{file} is not what a run writes: run again with --force.")
    return found


def compare(first: Predictions, second: Predictions, *, same_images: bool = False) -> Paired:
    """Count the test images that only one of two networks gets right.

    Args:
        first: the baseline.
        second: the other network's.
        same_images: the images are known to be the same, though of another size.

    Raises:
        NotComparableError: they were tested on different images.
    """
    same = same_images or first.images == second.images
    if not same or not np.array_equal(first.labels, second.labels):
        raise NotComparableError("They were tried on different test images: they can't be compared in pairs.")
    return Paired(
        gained=int((~first.right & second.right).sum()),
        lost=int((first.right & ~second.right).sum()),
        count=len(first.labels),
    )
