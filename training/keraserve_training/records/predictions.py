"""What each network said of each test image: kept, so that two networks can be compared in pairs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from keraserve_training import atomic, statistics
from keraserve_training.errors import NotComparableError, RunDamagedError
from keraserve_training.records import run_folder


@dataclass(frozen=True)
class Predictions:
    """What a network said of the test images.

    Attributes:
        predicted: int32 [N], the class that it gave each image the highest probability for.
        labels: int32 [N], the true class.
        images: SHA-256 of the images and their labels, in this order, whatever size the network gets.
    """

    predicted: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    images: str

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each is right, bool [N]."""
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
        """Exact two-sided p-value of McNemar's test: small where chance hardly makes that difference."""
        return statistics.mcnemar(self.gained, self.lost)


def write(folder: Path, network: str, predictions: Predictions) -> None:
    """Keep a network's predictions in its run's folder."""

    def save(part: Path) -> None:
        np.savez_compressed(
            part,
            predicted=predictions.predicted.astype(np.int32),
            labels=predictions.labels.astype(np.int32),
            images=np.array(predictions.images),
        )

    atomic.write_with(folder / run_folder.predictions_file(network), save)


def read(folder: Path, network: str) -> Predictions:
    """Read them back.

    Raises:
        NotComparableError: an older version made the run and kept none.
        RunDamagedError: the file is not what was written.
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
        first: the one to compare with.
        second: the other.
        same_images: the images are known to be the same, though stored at another size.

    Raises:
        NotComparableError: they were tried on different images.
    """
    same = same_images or first.images == second.images
    if not same or not np.array_equal(first.labels, second.labels):
        raise NotComparableError("They were tried on different test images: they can't be compared in pairs.")
    return Paired(
        gained=int((~first.right & second.right).sum()),
        lost=int((first.right & ~second.right).sum()),
        count=len(first.labels),
    )
