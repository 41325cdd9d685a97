"""Retries and deadlines of a call, without I/O: which request to send, how long to wait, when to stop.

A plan is a generator that yields requests, is sent the responses, and returns the result of the call. It
knows nothing of failures and time. `carry_out` adds these, and is itself a generator of steps (`Send`,
`Wait`), which the sync and the async clients execute.
"""

import random
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from keraserve_client._errors import DeadlineExceeded, InvalidInput, KeraserveError

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Extra(Generic[Request]):
    """A request that the call can do without: sent once, and given up after so many seconds."""

    request: Request
    seconds: float


Plan = Generator[Request | Extra[Request], Response, Result]

_LONGEST = 1e6  # seconds, eleven days: sockets reject infinity


@dataclass(frozen=True, slots=True)
class Send(Generic[Request]):
    """Send a request, and give up after so many seconds."""

    request: Request
    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so many seconds."""

    seconds: float


Steps = Generator[Send[Request] | Wait, Response | KeraserveError | None, Result]


class Deadline:
    """The moment `seconds` from now, by the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        if not 0 < seconds <= _LONGEST:
            raise InvalidInput(f"timeout has to be a positive number of seconds, not {seconds:g}")
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; 0 or less afterwards."""
        return self._end - time.monotonic()

    def at_most(self, seconds: float) -> "Deadline":
        """Return the sooner one of this deadline and one in so many seconds."""
        return self if self.left() <= seconds else Deadline(seconds)


@dataclass(frozen=True, slots=True)
class Retry:
    """When to send a request again: exponential backoff with full jitter, while the deadline is not near.

    A random time up to `first` seconds, then up to twice that, …, at most `longest`: clients that were
    rejected at the same time do not retry at the same time. The server's Retry-After is added. No pause takes
    more than half of the time that is then left, so that the last try has time for its response.

    Attributes:
        times: how often at most; None: as long as there is time.
        first: the most seconds of the first pause; with less time than that left there is none.
        longest: the most seconds of any.
    """

    times: int | None = None
    first: float = 0.1
    longest: float = 5.0

    def pause(self, attempt: int, error: KeraserveError, left: float) -> float | None:
        """Seconds to wait after failure number `attempt` (from 0); None: give up."""
        if not error.retriable or (self.times is not None and attempt >= self.times):
            return None
        least = error.retry_after or 0.0
        if (spare := left - least) < self.first:
            return None
        grown = self.first * 2 ** min(attempt, 30)
        return least + random.uniform(0, min(self.longest, grown, spare / 2))  # noqa: S311 (no secret)


ONCE = Retry(times=0)


def carry_out(
    plan: Plan[Request, Response, Result], retry: Retry, deadline: Deadline
) -> Steps[Request, Response, Result]:
    """Turn a plan into steps. The caller sends the outcome of each: a response, an error, or None (`Wait`).

    Raises:
        KeraserveError: what the plan raises, or what the server failed with last.
    """
    try:
        request = next(plan)
        while True:
            try:
                steps: Steps[Request, Response, Response]
                if isinstance(request, Extra):
                    extra = cast("Extra[Request]", request)
                    steps = _send(extra.request, ONCE, deadline.at_most(extra.seconds))
                else:
                    steps = _send(request, retry, deadline)
                response = yield from steps
            except KeraserveError as error:
                request = plan.throw(error)
            else:
                request = plan.send(response)
    except StopIteration as done:
        return done.value


def _send(request: Request, retry: Retry, deadline: Deadline) -> Steps[Request, Response, Response]:
    attempt = 0
    while True:
        if (left := deadline.left()) <= 0:
            raise _late(deadline)
        outcome = yield Send(request, left)
        if outcome is None:
            raise RuntimeError("a request had no outcome")
        if not isinstance(outcome, KeraserveError):
            return outcome
        if isinstance(outcome, DeadlineExceeded) and deadline.left() <= _CLOCK_SLACK:
            raise _late(deadline) from outcome
        pause = retry.pause(attempt, outcome, deadline.left())
        if pause is None:
            raise outcome
        yield Wait(pause)
        attempt += 1


_CLOCK_SLACK = 0.02  # gRPC's timer may fire a little before ours


def _late(deadline: Deadline) -> DeadlineExceeded:
    return DeadlineExceeded(f"no response within {deadline.seconds:g} s")
