"""How right a model is: accuracy with its interval, classes, confusions, calibration, paired test. No I/O."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

_Z = 1.959963984540054  # of the normal distribution: 95 % lie within
_BINS = 15  # of probabilities, as in Guo et al., On Calibration of Modern Neural Networks, 2017
_RARE = 0.05  # level of significance


def wilson(right: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of the share `right / count` (Wilson 1927), within 0 to 1."""
    share, square = right / count, _Z * _Z / count
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    # Exactly 0 and 1 at the edges, where the two terms would leave a rounding error.
    return (max(0.0, middle - half) if right else 0.0), (min(1.0, middle + half) if right < count else 1.0)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test.

    How probable a difference of at least this size is, if each image that only one of two networks has right
    were as likely to be the first's as the second's.
    """
    count, fewer = only_first + only_second, min(only_first, only_second)
    ways = total = 1  # of choosing so many of `count`
    for chosen in range(fewer):
        ways = ways * (count - chosen) // (chosen + 1)
        total += ways
    return min(1.0, 2 * total / 2**count)


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class.

    Attributes:
        name: its label.
        images: how many are of it.
        right: how many of these were found to be of it.
        found: how many of all were found to be of it.
    """

    name: str
    images: int
    right: int
    found: int

    @property
    def recall(self) -> float | None:
        """Which part of its images was found; None: it has none."""
        return self.right / self.images if self.images else None

    @property
    def precision(self) -> float | None:
        """Which part of what was found is of it; None: nothing was."""
        return self.right / self.found if self.found else None

    @property
    def f1(self) -> float:
        """The harmonic mean of recall and precision; 0 where nothing is right."""
        return 2 * self.right / (self.images + self.found)


@dataclass(frozen=True, slots=True)
class Bin:
    """The images whose class was found with a probability in one range.

    Attributes:
        images: how many.
        probability: the mean of their probabilities.
        accuracy: the part of them that is right.
    """

    images: int
    probability: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """So many images of one class were taken for another."""

    truth: str
    found: str
    images: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The true classes of images, and the most probable ones, in the same order.

    Attributes:
        truths: the class of each image.
        found: the most probable class of each image.
        probabilities: of that class, for each image.
        in_top5: of how many images the true class is among the five most probable ones; None: the model has
            no more than five.
    """

    truths: Sequence[str]
    found: Sequence[str]
    probabilities: Sequence[float]
    in_top5: int | None = None

    @property
    def right(self) -> int:
        """How many are the same."""
        return sum(truth == found for truth, found in zip(self.truths, self.found, strict=True))

    @property
    def accuracy(self) -> float:
        """The part that is right; of one image or more."""
        return self.right / len(self.truths)

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson(self.right, len(self.truths))

    @property
    def classes(self) -> list[ClassFigures]:
        """The figures of each class that an image is of, or was taken for, by name."""
        pairs = Counter(zip(self.truths, self.found, strict=True))
        images, found = Counter(self.truths), Counter(self.found)
        return [
            ClassFigures(name, images[name], pairs[name, name], found[name])
            for name in sorted(images.keys() | found.keys())
        ]

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the classes' recalls: each class counts the same, whatever its number of images."""
        recalls = [each.recall for each in self.classes if each.recall is not None]
        return math.fsum(recalls) / len(recalls)

    @property
    def macro_f1(self) -> float:
        """The mean of the F1 of all classes that an image is of, or was taken for."""
        return math.fsum(each.f1 for each in self.classes) / len(self.classes)

    @property
    def top5_accuracy(self) -> float | None:
        """The part of the images whose true class is among the five most probable ones."""
        return None if self.in_top5 is None else self.in_top5 / len(self.truths)

    @property
    def reliability(self) -> list[Bin]:
        """The images by the probability of the class that was found, in 15 ranges of the same width.

        Ranges without images are left out. A calibrated model is right as often as it says.
        """
        bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
        for truth, found, probability in zip(self.truths, self.found, self.probabilities, strict=True):
            if math.isfinite(probability):  # not of a network that diverged
                bins[min(_BINS - 1, int(probability * _BINS))].append((probability, truth == found))
        return [
            Bin(
                len(one),
                math.fsum(probability for probability, _ in one) / len(one),
                sum(right for _, right in one) / len(one),
            )
            for _, one in sorted(bins.items())
        ]

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: by how much probability and accuracy differ in a range, on average.

        Of few images it is not 0 even for a calibrated model. NaN where a probability is no number.
        """
        if not all(map(math.isfinite, self.probabilities)):
            return math.nan
        return math.fsum(
            each.images * abs(each.probability - each.accuracy) for each in self.reliability
        ) / len(self.truths)

    @property
    def confusions(self) -> list[Confusion]:
        """Which classes were taken for which others, the most frequent first."""
        pairs = Counter(pair for pair in zip(self.truths, self.found, strict=True) if pair[0] != pair[1])
        return [
            Confusion(*pair, count)
            for pair, count in sorted(pairs.items(), key=lambda one: (-one[1], one[0]))
        ]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions on the same images.

    Attributes:
        only_first: images that only the first has right.
        only_second: images that only the second has right.
    """

    only_first: int
    only_second: int

    @classmethod
    def of(cls, first: Evaluation, second: Evaluation) -> "Comparison":
        """Compare the evaluations of the same images, in the same order."""
        right = [
            (truth == one, truth == other)
            for truth, one, other in zip(first.truths, first.found, second.found, strict=True)
        ]
        return cls(right.count((True, False)), right.count((False, True)))

    @property
    def worse(self) -> bool:
        """Whether the first is worse by more than the choice of images makes: p below 0.05."""
        return self.only_first < self.only_second and self.p_value < _RARE

    @property
    def p_value(self) -> float:
        """The exact test of McNemar, two-sided."""
        return mcnemar(self.only_first, self.only_second)
