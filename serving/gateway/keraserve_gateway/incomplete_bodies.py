"""A limit on the memory of all request bodies that have not arrived completely."""

from keraserve_gateway.time_limit import TimeLimit


class IncompleteBodies:
    """Limits the bytes of all bodies that are arriving. For one event loop, not for threads.

    Args:
        limit: how many bytes they may have together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._bodies: dict[IncompleteBody, None] = {}  # the oldest first

    def add(self, body: "IncompleteBody", size: int) -> None:
        """Count more bytes of a body; give up the oldest bodies while there are too many."""
        self._bodies.setdefault(body)
        self.bytes += size
        body.bytes += size
        while self.bytes > self.limit:
            oldest = next(iter(self._bodies))
            self.remove(oldest)
            oldest.give_up()

    def remove(self, body: "IncompleteBody") -> None:
        """Stop counting a body: it is complete, or its request has ended."""
        if body in self._bodies:
            del self._bodies[body]
            self.bytes -= body.bytes


class IncompleteBody:
    """One of these bodies, counted within its `with` block.

    Args:
        bodies: count it from the first `add` on.
        time_limit: is ended when the body is given up, and ends its request.

    Attributes:
        bytes: how many have arrived.
        given_up: whether it was given up for others.
    """

    def __init__(self, bodies: IncompleteBodies, time_limit: TimeLimit) -> None:
        self._bodies = bodies
        self._time_limit = time_limit
        self.bytes = 0
        self.given_up = False

    def __enter__(self) -> None:
        """Begin without a byte."""

    def __exit__(self, *_: object) -> None:
        """Stop counting it."""
        self._bodies.remove(self)

    def add(self, size: int) -> None:
        """Count more bytes of it."""
        self._bodies.add(self, size)

    def give_up(self) -> None:
        """End its request as if its time were over."""
        self.given_up = True
        self._time_limit.end()
