"""What a request carries along: until when, and who it is."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

Metadata = Sequence[tuple[str, str]]
"""What the model server is told of a request, in a call's metadata."""

REQUEST_ID = "x-request-id"


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock; one total for everything that a request does."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Set a deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def left(self) -> float:
        """Give the seconds that are left, 0.0 once it has passed."""
        return max(0.0, self.at - time.monotonic())

    def at_most(self, seconds: float) -> "Deadline":
        """Give the earlier of this deadline and one `seconds` from now."""
        return Deadline(min(self.at, time.monotonic() + seconds))


@dataclass(frozen=True)
class Trip:
    """One request on its way through.

    Attributes:
        deadline: when it has to be answered.
        request_id: what its log lines and answers carry.
        trace: where it belongs in its caller's trace, `traceparent` and `tracestate`; empty if in none.
    """

    deadline: Deadline
    request_id: str
    trace: tuple[tuple[str, str], ...] = ()

    @property
    def timeout(self) -> float:
        """The seconds that are left."""
        return self.deadline.left()

    @property
    def metadata(self) -> Metadata:
        """What the model server is told of it."""
        return (*(((REQUEST_ID, self.request_id),) if self.request_id else ()), *self.trace)

    def at_most(self, seconds: float) -> "Trip":
        """Give the same trip with a deadline not later than `seconds` from now."""
        return replace(self, deadline=self.deadline.at_most(seconds))
