"""The generators of a client's call (`keraserve_client._plans` and `_steps`), played without a server."""

from typing import Any


def play(plan: Any, *outcomes: Any, throw: bool = True) -> tuple[list[Any], Any]:
    """Send these outcomes, errors as exceptions or as values; gives what was yielded, and the result."""
    yielded, left = [next(plan)], list(outcomes)
    try:
        while True:
            outcome = left.pop(0)
            thrown = throw and isinstance(outcome, Exception)
            yielded.append(plan.throw(outcome) if thrown else plan.send(outcome))
    except StopIteration as done:
        assert not left
        return yielded, done.value
