"""`LoadSpecification`, what the load generator sends, and `LoadResult`, what it reports."""

from collections.abc import Sequence
from dataclasses import dataclass, field

GRPC = "grpc"
"""In place of a content type: the path is a gRPC call's."""


@dataclass(frozen=True)
class LoadSpecification:
    """What to send, to whom, and how.

    Attributes:
        port: on 127.0.0.1.
        path: of the HTTP requests; with `GRPC` the call's.
        content_type: of their bodies.
        bodies: files, sent in turn; without any, the path is requested by GET.
        clients: of a closed loop; 0 for an open one.
        rate: requests a second of an open loop.
        warm_up: seconds before responses count.
        seconds: in which responses count.
    """

    port: int
    path: str
    content_type: str
    bodies: Sequence[str]
    clients: int
    rate: float = 0.0
    warm_up: float = 1.0
    seconds: float = 4.0


@dataclass
class LoadResult:
    """The times and statuses of the requests.

    Attributes:
        seconds: in which responses counted.
        milliseconds: of each request that succeeded in this time.
        statuses: the number of requests by status; gRPC's OK is 200, its other codes and a lost connection 0.
        processor_seconds: that the load generator itself took.
    """

    seconds: float
    milliseconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    processor_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Requests a second that succeeded."""
        return len(self.milliseconds) / self.seconds
