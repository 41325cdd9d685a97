"""Bodies that have not arrived whole: a bound on the memory of all of them together."""

from keraserve_gateway.time_limit import TimeLimit


class IncompleteBodies:
    """Bounds the bytes of all bodies that are arriving. Of one event loop; not for threads.

    Args:
        limit: how many bytes they may have together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._bodies: dict[IncompleteBody, None] = {}  # the oldest first

    def add(self, body: "IncompleteBody", size: int) -> None:
        """Count more of a body; where all have too much, those are given up that came first."""
        self._bodies.setdefault(body)
        self.bytes += size
        body.bytes += size
        while self.bytes > self.limit:
            oldest = next(iter(self._bodies))
            self.remove(oldest)
            oldest.give_up()

    def remove(self, body: "IncompleteBody") -> None:
        """Count a body no more: it is whole, or its request has ended."""
        if body in self._bodies:
            del self._bodies[body]
            self.bytes -= body.bytes


class IncompleteBody:
    """One of them: `with IncompleteBody(all_of_them, time_limit) as body: …`.

    Args:
        others: those with which it shares the room.
        time_limit: ends its request, when its time is over or others need the room.

    Attributes:
        bytes: how many have come.
        given_up: whether others needed the room.
    """

    def __init__(self, others: IncompleteBodies, time_limit: TimeLimit) -> None:
        self._others = others
        self._time_limit = time_limit
        self.bytes = 0
        self.given_up = False

    def __enter__(self) -> None:
        """Begin; it takes no room before something of it waits for the rest."""

    def __exit__(self, *_: object) -> None:
        """Leave the room to others."""
        self._others.remove(self)

    def add(self, size: int) -> None:
        """Take room for more of it."""
        self._others.add(self, size)

    def give_up(self) -> None:
        """End its request as if its time were over."""
        self.given_up = True
        self._time_limit.end()
