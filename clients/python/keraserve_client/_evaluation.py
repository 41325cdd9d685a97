"""How right a model is: accuracy with its interval, classes, confusions, and a paired test. No I/O."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_Z = 1.959963984540054  # of the normal distribution: 95 % lie within


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


@dataclass(frozen=True, slots=True)
class Confusion:
    """So many images of one class were taken for another."""

    truth: str
    found: str
    images: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The true classes of images, and the most probable ones, in the same order."""

    truths: Sequence[str]
    found: Sequence[str]

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
        """Wilson's 95 % interval of the accuracy (Wilson 1927), which is within 0 and 1 for any count."""
        count, part = len(self.truths), self.accuracy
        shrunk = 1 + _Z * _Z / count
        middle = (part + _Z * _Z / (2 * count)) / shrunk
        half = _Z * math.sqrt(part * (1 - part) / count + _Z * _Z / (4 * count * count)) / shrunk
        return max(0.0, middle - half), min(1.0, middle + half)

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
    def p_value(self) -> float:
        """The exact test of McNemar, two-sided.

        How probable a difference of at least this size is, if each image that only one of them has right were
        as likely to be the first's as the second's.
        """
        count, fewer = self.only_first + self.only_second, min(self.only_first, self.only_second)
        ways = total = 1  # of choosing so many of `count`
        for chosen in range(fewer):
            ways = ways * (count - chosen) // (chosen + 1)
            total += ways
        return min(1.0, 2 * total / 2**count)
