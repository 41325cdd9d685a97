"""How a call goes on, without doing any of it: what to ask, when to ask again, when to stop.

A plan is a generator that asks questions and is sent the responses; it returns the result of the call. It
knows nothing of failures and time. `carry_out` adds these, and is itself a generator of steps: the sync
and the async clients only take the steps.
"""

import random
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from keraserve_client._errors import DeadlineExceeded, InvalidInput, KeraserveError

Question = TypeVar("Question")
Response = TypeVar("Response")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Beside(Generic[Question]):
    """A question that the call could do without: asked once, and given up after so many seconds."""

    question: Question
    seconds: float


Plan = Generator[Question | Beside[Question], Response, Result]

_LONGEST = 1e6  # seconds, eleven days: sockets reject infinity


@dataclass(frozen=True, slots=True)
class Ask(Generic[Question]):
    """Ask the server, and give up after so many seconds."""

    question: Question
    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so many seconds."""

    seconds: float


Steps = Generator[Ask[Question] | Wait, Response | KeraserveError | None, Result]


class Deadline:
    """A moment, by the clock that never jumps: `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        if not 0 < seconds <= _LONGEST:
            raise InvalidInput(f"timeout has to be a positive number of seconds, not {seconds:g}")
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then; 0 or less afterwards."""
        return self._end - time.monotonic()

    def at_most(self, seconds: float) -> "Deadline":
        """Give this one, or one in so many seconds where that is sooner."""
        return self if self.left() <= seconds else Deadline(seconds)


@dataclass(frozen=True, slots=True)
class Retry:
    """When to ask again: exponential backoff with full jitter, as long as the deadline is not near.

    A random time up to `first` seconds, then up to twice that, …, at most `longest`: many clients that were
    rejected together do not come back together, and a server that is away for long is asked every few
    seconds. What the server asked for by Retry-After comes on top. No pause takes more than half of the time
    that is left beyond that, so that the last try has time for its response.

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
        asked = error.retry_after or 0.0
        if (spare := left - asked) < self.first:
            return None
        grown = self.first * 2 ** min(attempt, 30)
        return asked + random.uniform(0, min(self.longest, grown, spare / 2))  # noqa: S311 (no secret)


ONCE = Retry(times=0)


def carry_out(
    plan: Plan[Question, Response, Result], retry: Retry, deadline: Deadline
) -> Steps[Question, Response, Result]:
    """Turn a plan into steps; send each its outcome: a response, an error, or (after `Wait`) None.

    Raises:
        KeraserveError: what the plan raises, or what the server failed with last.
    """
    try:
        question = next(plan)
        while True:
            try:
                asking: Steps[Question, Response, Response]
                if isinstance(question, Beside):
                    beside = cast("Beside[Question]", question)
                    asking = _ask(beside.question, ONCE, deadline.at_most(beside.seconds))
                else:
                    asking = _ask(question, retry, deadline)
                response = yield from asking
            except KeraserveError as error:
                question = plan.throw(error)
            else:
                question = plan.send(response)
    except StopIteration as done:
        return done.value


def _ask(question: Question, retry: Retry, deadline: Deadline) -> Steps[Question, Response, Response]:
    attempt = 0
    while True:
        if (left := deadline.left()) <= 0:
            raise _late(deadline)
        outcome = yield Ask(question, left)
        if outcome is None:
            raise RuntimeError("a question was answered with nothing")
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
