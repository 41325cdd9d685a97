"""The written version against the model that it was made of, on the same images or tensors."""

from dataclasses import dataclass

from keraserve_protocol.differences import TOLERANCE


@dataclass(frozen=True)
class Compared:
    """What the comparison found.

    Attributes:
        largest: difference; of values beyond 1 in proportion to them; infinity where shapes differ, or only
            one of both is a number.
        rows: how many images or rows were compared.
        what: they were, in words.
    """

    largest: float
    rows: int
    what: str

    @property
    def equal(self) -> bool:
        """Whether it may be published."""
        return self.largest <= TOLERANCE
