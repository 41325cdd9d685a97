"""Workers that are processes of this machine."""

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from keraserve_training import runtime
from keraserve_training.errors import WorkerError
from keraserve_training.workers.work import Done, Work, attempt, packed


@dataclass(frozen=True)
class Processes:
    """So many processes of this machine, each with one thread."""

    jobs: int

    def do(self, work: Sequence[Work], tell: Callable[[Done], None]) -> list[Done]:
        """As `Workers.do`.

        Raises:
            WorkerError: a process was killed.
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
                        raise WorkerError("A process was killed; run the same command to go on.") from None
                    tell(each)
        return [done[number] for number in range(len(work))]


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of spawned processes (a fork has TensorFlow's state, not its threads); killed on an error."""
    pool = ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=runtime.threads, initargs=(1,)
    )
    try:
        yield pool
    except BaseException:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()  # a piece can be killed at any moment and goes on when it is done again
        raise
    pool.shutdown()
