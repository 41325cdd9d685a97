"""The three sizes of every experiment. What a profile changes is written here and nowhere else."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """How much of an experiment is run.

    Attributes:
        name: `full`, `quick` or `sample`; part of the run folder's name.
        procedural: pictures are made on the spot instead of taken from the data set.
        share: part of the data set's pictures (training and test) that is used, 0 to 1; also of the
            pictures that an experiment sets aside for validation.
        max_epochs: at most so many epochs in each phase of training; None: as the source document says.
        explanation: one sentence for people, printed and put into the report.
    """

    name: str
    procedural: bool
    share: float
    max_epochs: int | None
    explanation: str

    def pictures(self, count: int) -> int:
        """Scale a number of pictures; at least one."""
        return max(1, round(count * self.share))

    def epochs(self, count: int) -> int:
        """Limit a number of epochs."""
        return count if self.max_epochs is None else min(count, self.max_epochs)


FULL = Profile("full", False, 1.0, None, "Everything as the source document says.")
QUICK = Profile("quick", False, 0.1, 5, "Real pictures, a tenth of them; at most 5 epochs a phase.")
SAMPLE = Profile(
    "sample",
    True,
    0.01,
    3,
    "Procedural pictures made on the spot, a hundredth as many as the real data set has; at most 3 epochs"
    " a phase. Its figures say that the code runs, nothing about the method.",
)

PROFILES = {profile.name: profile for profile in (FULL, QUICK, SAMPLE)}
