"""The queue of requests of one signature. It has no lock: the batcher holds its own."""

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from keraserve_embedded.batching.arrays import Arrays
from keraserve_embedded.batching.options import BatchingOptions
from keraserve_embedded.errors import QueueFullError

_MIN_HALF = 8  # rows: in a small network a row costs hardly more than in 16; alone, 1.5 times as much


@dataclass(eq=False)
class Task(Future[Arrays]):
    """A request, or a piece of one: the future of its results.

    It is the future itself, as two objects would form a reference cycle.

    Attributes:
        arrays: the inputs by name.
        rows: of the arrays; 1 for a request without a batch dimension.
        merge_key: equal for tasks that can be merged; None: it runs alone.
        first: the index of its first row in the whole request.
        forget: removes it from its queue when it is cancelled.
        arrived: when, on the monotonic clock.
    """

    arrays: Arrays
    rows: int
    merge_key: Hashable | None
    first: int = 0
    forget: "Callable[[Task], None] | None" = None
    arrived: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Initialize the future."""
        super().__init__()

    def cancel(self) -> bool:
        """Cancel the future, and remove the task from its queue."""
        cancelled = super().cancel()
        if cancelled and self.forget is not None:
            self.forget(self)
        return cancelled


class BatchQueue:
    """First in, first out, except for tasks that fit into an earlier batch."""

    def __init__(self, options: BatchingOptions) -> None:
        self._options = options
        self._tasks: deque[Task] = deque()
        self.rows = 0

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def add(self, tasks: Sequence[Task]) -> None:
        """Add tasks at the end.

        Raises:
            QueueFullError: they would exceed the capacity; an empty queue takes any request.
        """
        rows = sum(task.rows for task in tasks)
        if self.rows and self.rows + rows > self._options.capacity:
            raise QueueFullError(
                "The batch scheduling queue to which this task was submitted is full: "
                f"{self.rows} of {self._options.capacity} rows are taken"
            )
        self._tasks.extend(tasks)
        self.rows += rows

    def remove(self, task: Task) -> None:
        """Remove a cancelled task, if it is still in the queue."""
        if task in self._tasks:
            self._tasks.remove(task)
            self.rows -= task.rows

    def due_at(self) -> float:
        """Return when the oldest task is to run: at once if its batch is full, else after the timeout."""
        first, timeout = self._tasks[0], self._options.batch_timeout_micros / 1e6
        if not timeout or first.merge_key is None:
            return first.arrived
        mergeable = sum(task.rows for task in self._tasks if task.merge_key == first.merge_key)
        return first.arrived if mergeable >= self._options.rows else first.arrived + timeout

    def take_batch(self, free: int = 1) -> list[Task]:
        """Remove the oldest task and those that fit into its batch, and return them.

        Args:
            free: how many threads are free, this one included.
        """
        most = min(self._options.rows, self._options.padded(self._share(free)))
        first = self._tasks.popleft()
        taken, left, rows = [first], deque[Task](), first.rows
        while self._tasks and rows < most and first.merge_key is not None:
            task = self._tasks.popleft()
            if task.merge_key == first.merge_key and rows + task.rows <= most:
                taken.append(task)
                rows += task.rows
            else:
                left.append(task)
        self._tasks.extendleft(reversed(left))
        self.rows -= rows
        return taken

    def _share(self, free: int) -> int:
        """Return how many rows a batch may have, so that other threads get some too.

        Free threads get equal shares. If only this thread is free, it leaves half for the next one: if it
        took all, the threads would end at the same time, and be idle until their clients send again. With a
        batch timeout, a batch is as large as possible.
        """
        if self._options.batch_timeout_micros or self._options.num_batch_threads == 1:
            return self.rows
        if free > 1:
            return math.ceil(self.rows / free)
        return max(_MIN_HALF, math.ceil(self.rows / 2))

    def clear(self) -> list[Task]:
        """Remove all tasks, and return them."""
        tasks = list(self._tasks)
        self._tasks.clear()
        self.rows = 0
        return tasks
