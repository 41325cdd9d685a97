"""Independent pieces of work, and the interface of the workers that do them: `local` and `ray_cluster`.

A piece is a function of this package with arguments in JSON's types (and paths). It does its work in folders
that all pieces can reach, gives back little, and can be killed at any moment and done again: it goes on from
what it finds there. So neither a lost process nor a lost machine costs more than one epoch.
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
        name: for people.
        function: of a module of this package, so that another process can import it.
        arguments: its keyword arguments.
    """

    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """What became of a piece.

    Attributes:
        name: the piece's.
        result: what its function gave; None where it failed.
        error: why it failed, in a sentence; None where it did not.
        trace: where in the code, for an error that nobody foresaw.
    """

    name: str
    result: Any = None
    error: str | None = None
    trace: str | None = None


class Workers(Protocol):
    """Whoever does pieces."""

    def do(self, work: Sequence[Work], tell: Callable[[Done], None]) -> list[Done]:
        """Do every piece; one that fails does not stop the others. An exception, also Ctrl-C, stops all.

        Args:
            work: the pieces, in the order in which they are begun.
            tell: is told of each as soon as it is over.

        Returns:
            What became of them, in the order of `work`.

        Raises:
            WorkerError: the workers themselves failed; what they had done is kept.
        """
        ...


def packed(work: Work) -> bytes:
    """A piece as it travels; unpacked where errors of unpacking are caught."""
    return pickle.dumps(work)


def attempt(content: bytes, busy_for: float = 0.0) -> Done:
    """Do a packed piece in this process. Errors come back as text: not every exception survives the way.

    Args:
        content: the piece.
        busy_for: seconds to wait for its run folder, which a lost process may not have let go of yet.
    """
    work: Work = pickle.loads(content)  # noqa: S301 (from our own process)
    try:
        return Done(work.name, result=_patiently(work, busy_for))
    except (TrainingError, OSError) as error:
        return Done(work.name, error=str(error))
    except Exception as error:  # one piece's trouble, whatever it is, does not stop the others
        trace = "".join(traceback.format_exception(error))
        return Done(work.name, error=f"{type(error).__name__}: {error}", trace=trace)


def _patiently(work: Work, busy_for: float) -> Any:
    until = time.monotonic() + busy_for
    while True:
        try:
            return work.function(**work.arguments)
        except RunBusyError:
            if time.monotonic() >= until:
                raise
        time.sleep(_PAUSE)
