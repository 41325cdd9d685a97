"""The profiles `full`, `quick` and `sample`: how many images and epochs, and whether real ones."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """How many images of a data set are used: a part of them, but at least `floor`, or all."""

    part: float
    floor: int

    def of(self, count: int) -> int:
        """How many of `count`."""
        return min(count, max(self.floor, round(count * self.part)))


@dataclass(frozen=True)
class Profile:
    """How much of an experiment is run.

    Attributes:
        name: `full`, `quick` or `sample`; part of the run folder's name.
        procedural: images are generated instead of taken from the data set.
        small: how many images are used of a data set whose images have at most 64 pixels a side.
        photographs: the same where they are larger, and so each costs a hundred times as much.
        max_epochs: the most epochs of a phase; None: as the source document says.
        random_weights: pre-trained networks start from random weights, at the smallest size that they take.
        explanation: for the terminal and the report.
    """

    name: str
    procedural: bool
    small: Share
    photographs: Share
    max_epochs: int | None
    random_weights: bool
    explanation: str

    def limit(self, count: int, *, photographs: bool) -> int:
        """How many of a data set's `count` training (or test) images are used."""
        return (self.photographs if photographs else self.small).of(count)

    def epochs(self, count: int) -> int:
        """Limit a number of epochs."""
        return count if self.max_epochs is None else min(count, self.max_epochs)


_ALL = Share(1.0, 0)

FULL = Profile("full", False, _ALL, _ALL, None, False, "All images, all epochs.")
QUICK = Profile(
    "quick",
    False,
    Share(0.1, 500),
    Share(0.02, 200),
    5,
    False,
    "Real images: a tenth of the small ones, a fiftieth of the photographs (but 500 or 200 where there are"
    " so many); at most 5 epochs a phase.",
)
SAMPLE = Profile(
    "sample",
    True,
    Share(0.01, 100),
    Share(0.001, 24),
    3,
    True,
    "Procedural images made on the spot in place of a data set, but not of a folder given with --data; a"
    " hundredth as many as there are (a thousandth of the photographs; 100 or 24 where there are so many);"
    " random weights in place of pre-trained ones, at the smallest size that the network takes;"
    " at most 3 epochs a phase. Its figures say that the code runs, nothing about the method.",
)

PROFILES = {profile.name: profile for profile in (FULL, QUICK, SAMPLE)}
