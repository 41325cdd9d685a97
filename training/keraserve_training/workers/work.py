"""Independent pieces of work, and the interface of the workers that do them: `local` and `ray_cluster`.

A piece is a function of this package with arguments in JSON's types (and paths). It works in folders that all
pieces can access, returns little, and can be killed at any moment and done again: it goes on from what it
finds there. So a lost process or machine costs no more than one epoch.
"""

import pickle
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from keraserve_training.errors import RunBusyError, TrainingError

_PAUSE = 0.5


@dataclass(frozen=True)
class Work:
    """One piece.

    Attributes:
        name: in messages.
        function: of a module of this package, so that another process can import it.
        arguments: its keyword arguments.
    """

    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """The outcome of a piece.

    Attributes:
        name: the piece's.
        result: what its function returned; None where it failed.
        error: why it failed, in a sentence; None where it did not.
        trace: of an unexpected error.
    """

    name: str
    result: Any = None
    error: str | None = None
    trace: str | None = None


class Workers(Protocol):
    """Something that does pieces of work in parallel."""

    def do(self, work: Sequence[Work], tell: Callable[[Done], None]) -> list[Done]:
        """Do every piece; one that fails does not stop the others. An exception, also Ctrl-C, stops all.

        Args:
            work: the pieces, in the order in which they are begun.
            tell: is called with each outcome as soon as it is known.

        Returns:
            The outcomes, in the order of `work`.

        Raises:
            WorkerError: the workers themselves failed; what they had done is kept.
        """
        ...


def packed(work: Work) -> bytes:
    """A piece as bytes, which `attempt` unpickles."""
    return pickle.dumps(work)


def attempt(content: bytes, busy_for: float = 0.0) -> Done:
    """Do a packed piece in this process. Errors are returned as text: not every exception can be pickled.

    Args:
        content: the piece.
        busy_for: seconds to wait for its run folder, which a lost process may still lock.
    """
    work: Work = pickle.loads(content)  # noqa: S301 (from our own process)
    try:
        return Done(work.name, result=_retried(work, busy_for))
    except (TrainingError, OSError) as error:
        return Done(work.name, error=str(error))
    except Exception as error:  # whatever it is, it does not stop the other pieces
        trace = "".join(traceback.format_exception(error))
        return Done(work.name, error=f"{type(error).__name__}: {error}", trace=trace)


def _retried(work: Work, busy_for: float) -> Any:
    until = time.monotonic() + busy_for
    while True:
        try:
            return work.function(**work.arguments)
        except RunBusyError:
            if time.monotonic() >= until:
                raise
        time.sleep(_PAUSE)
