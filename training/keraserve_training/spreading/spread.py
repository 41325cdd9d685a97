"""Many independent pieces of work side by side: in processes here, or on the machines of a Ray cluster.

A piece is a function of this package with arguments in JSON's types (and paths). It does its work in folders
that all pieces can reach, gives back little, and can be killed at any moment and done again: it goes on from
what it finds there. So neither a lost process nor a lost machine costs more than one epoch.
"""

import contextlib
import multiprocessing
import pickle
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

from keraserve_training import runtime
from keraserve_training.errors import RunBusyError, SpreadError, TrainingError

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
            SpreadError: the workers themselves failed; what they had done is kept.
        """
        ...


@dataclass(frozen=True)
class Processes:
    """Processes of this machine, each with one thread.

    Attributes:
        jobs: how many.
    """

    jobs: int

    def do(self, work: Sequence[Work], tell: Callable[[Done], None]) -> list[Done]:
        """As `Workers.do`.

        Raises:
            SpreadError: a process was killed.
        """
        done: dict[int, Done] = {}
        with _pool(self.jobs) as pool:
            numbers = {pool.submit(attempt, packed(each)): number for number, each in enumerate(work)}
            waiting: set[Future[Done]] = set(numbers)
            while waiting:
                over, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in over:
                    try:
                        each = done[numbers[future]] = future.result()
                    except BrokenProcessPool:
                        raise SpreadError("A process was killed; run the same command to go on.") from None
                    tell(each)
        return [done[number] for number in range(len(work))]


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


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that start afresh (a fork would get half of TensorFlow's threads); killed on an error."""
    pool = ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=runtime.threads, initargs=(1,)
    )
    try:
        yield pool
    except BaseException:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()  # every piece can be killed at any moment and goes on from there
        raise
    pool.shutdown()
