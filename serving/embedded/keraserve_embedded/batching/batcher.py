"""The batcher: runs requests that wait at the same time as one batch.

A free thread takes the requests that wait; it waits for more only if `batch_timeout_micros` is set.
"""

import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial

from keraserve_embedded.batching.arrays import Arrays, join, merge, merge_key, rows_of, split, split_results
from keraserve_embedded.batching.options import BatchingOptions
from keraserve_embedded.batching.queue import BatchQueue, Task
from keraserve_embedded.calls.work import Work
from keraserve_embedded.errors import ExecutionError, InternalError, InvalidRequestError, TooLargeError
from keraserve_embedded.models.signature import Origin, Signature
from keraserve_embedded.observer import Observer

log = logging.getLogger(__name__)

# Added to the niceness of the threads that run graphs. The threads that read requests and write responses run
# first: they need little time, and the next batch waits for them.
_NICENESS = 10
_MAX_ROWS = 128  # of one request without batching


class Batcher:
    """Runs work in batches, on threads of its own.

    Work is neither merged nor split if its rows are not known to be independent, if its signature has no
    batch dimension, or if its inputs differ in it. Work whose future is cancelled leaves its queue at once.

    Attributes:
        on_loss: called on a batching thread that ends before `stop`.
    """

    def __init__(self, options: BatchingOptions, observer: Observer) -> None:
        self._options = options
        self._observer = observer
        # Only queues that are not empty, so that no signature of an unloaded version is kept.
        self._queues: dict[Signature, BatchQueue] = {}
        self._unmergeable: weakref.WeakSet[Signature] = weakref.WeakSet()
        self._own_options: weakref.WeakKeyDictionary[Signature, BatchingOptions] = weakref.WeakKeyDictionary()
        self._change = threading.Condition()
        self._stopped = False
        self._free = 0  # threads that wait for something to do
        self.on_loss: Callable[[], None] = lambda: None
        self._lost = 0
        self._threads = [
            threading.Thread(target=self._serve, name=f"batch {number}", daemon=True)
            for number in range(options.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def set_options(self, signatures: Iterable[Signature], options: BatchingOptions) -> None:
        """Take other options for these, which have had no request yet; the threads stay."""
        self._own_options.update(dict.fromkeys(signatures, options))

    def submit(self, work: Work) -> "Future[Arrays]":
        """Queue work; the future has its results, or raises as `Signature.run`.

        Raises:
            InvalidRequestError: more rows than `max_batch_size`.
            QueueFullError: too many rows wait for this signature already.
        """
        with self._change:
            tasks = self._enqueue(work)
            self._change.notify(len(tasks))
        return _request_future(tasks)

    def submit_together(self, works: Sequence[Work]) -> "list[Future[Arrays]]":
        """Queue the work of several requests before a batch is made of any.

        The future of a request that can't be queued raises what `submit` would; the others are not affected.
        """
        queued: list[Sequence[Task] | Exception] = []
        with self._change:
            for work in works:
                try:
                    queued.append(self._enqueue(work))
                except Exception as error:
                    queued.append(error)
            self._change.notify(sum(len(tasks) for tasks in queued if not isinstance(tasks, Exception)))
        return [
            _failed_future(tasks) if isinstance(tasks, Exception) else _request_future(tasks)
            for tasks in queued
        ]

    def waiting(self) -> dict[Origin, int]:
        """Return how many rows wait, by signature; signatures without any are left out."""
        with self._change:
            return {signature.origin: queue.rows for signature, queue in self._queues.items()}

    def threads(self) -> tuple[int, int]:
        """Return how many threads run, and how many there should be."""
        return len(self._threads) - self._lost, len(self._threads)

    def stop(self) -> None:
        """Cancel the work that waits, and wait for the batches that run."""
        with self._change:
            self._stopped = True
            waiting = [task for queue in self._queues.values() for task in queue.clear()]
            self._queues.clear()
            self._change.notify_all()
        for task in waiting:
            task.cancel()
        for thread in self._threads:
            thread.join()

    def _options_of(self, signature: Signature) -> BatchingOptions:
        return self._own_options.get(signature, self._options)

    def _enqueue(self, work: Work) -> list[Task]:
        tasks = self._tasks(work)
        queue = self._queues.get(work.signature) or BatchQueue(self._options_of(work.signature))
        queue.add(tasks)
        self._queues[work.signature] = queue
        return tasks

    def _tasks(self, work: Work) -> list[Task]:
        options, rows = self._options_of(work.signature), rows_of(work.arrays)
        forget = partial(self._forget, work.signature)
        mergeable = work.signature.independent and work.signature.batched
        if not rows or not mergeable or work.signature in self._unmergeable:
            return [Task(work.arrays, 1, None, forget=forget)]
        if rows > options.max_batch_size:
            raise InvalidRequestError(
                f"Task size {rows} is larger than maximum input batch size {options.max_batch_size}"
            )
        key = merge_key(work.arrays, pad=options.pad_variable_length_inputs)
        most = options.piece(rows)
        pieces = [work.arrays] if rows <= most else split(work.arrays, most)
        return [
            Task(piece, rows_of(piece), key, number * most, forget) for number, piece in enumerate(pieces)
        ]

    def _forget(self, signature: Signature, task: Task) -> None:
        with self._change:
            queue = self._queues.get(signature)
            if queue:
                queue.remove(task)
                if not queue:
                    del self._queues[signature]

    # On the batcher's threads.

    def _serve(self) -> None:
        lower_priority()
        try:
            while taken := self._take():
                self._run_safely(*taken)
                del taken  # otherwise an unloaded version stays in memory while this thread waits
        finally:
            if not self._stopped:
                with self._change:
                    self._lost += 1
                self.on_loss()

    def _run_safely(self, signature: Signature, tasks: Sequence[Task]) -> None:
        """Run tasks; each gets a result or an error whatever the graph raises, and this thread continues."""
        try:
            wanted = [task for task in tasks if task.set_running_or_notify_cancel()]
            if wanted:
                self._run(signature, wanted)
        except BaseException as error:
            log.error("%s: a batch failed: %s: %s", signature.origin, type(error).__name__, error)
            for task in tasks:
                if not task.done():
                    task.set_exception(InternalError(f"internal error: {type(error).__name__}"))

    def _take(self) -> tuple[Signature, list[Task]] | None:
        """Wait for a batch; the signatures take turns. Returns None when the batcher stops."""
        with self._change:
            while not self._stopped:
                now, soonest = time.monotonic(), None
                for signature, queue in self._queues.items():
                    due = queue.due_at()
                    if due <= now:
                        return signature, self._take_batch(signature, queue)
                    soonest = due if soonest is None else min(soonest, due)
                self._free += 1
                self._change.wait(None if soonest is None else soonest - now)
                self._free -= 1
        return None

    def _take_batch(self, signature: Signature, queue: BatchQueue) -> list[Task]:
        tasks = queue.take_batch(self._free + 1)
        del self._queues[signature]
        if queue:
            self._queues[signature] = queue  # behind the others
            self._change.notify()
        return tasks

    def _run(self, signature: Signature, tasks: Sequence[Task]) -> None:
        """Run tasks as one batch; if that fails each alone, so that only those with a bad image fail."""
        rows = sum(task.rows for task in tasks)
        padded = rows if tasks[0].merge_key is None else self._options_of(signature).padded(rows)
        if (len(tasks) > 1 or padded > rows) and self._run_merged(signature, tasks, padded):
            return
        for task in tasks:
            began = time.monotonic()
            try:
                results = signature.run(task.arrays, first=task.first)
            except Exception as error:
                task.set_exception(error)
            else:
                rows = task.rows if task.merge_key is not None else 0
                _report_run(self._observer, signature.origin, 1, rows, began)
                task.set_result(results)

    def _run_merged(self, signature: Signature, tasks: Sequence[Task], rows: int) -> bool:
        began = time.monotonic()
        try:
            results = signature.run_merged(merge([task.arrays for task in tasks], rows))
        except (ExecutionError, TooLargeError):  # the tasks that are valid succeed alone
            return False
        except Exception as error:  # perhaps of one request, which then fails alone
            log.warning("%s: a batch failed: %s: %s", signature.origin, type(error).__name__, error)
            return False
        parts = split_results(results, [task.rows for task in tasks], rows)
        if parts is None:
            log.warning("%s: its results are no batch; its requests run alone from now on", signature.origin)
            self._unmergeable.add(signature)
            return False
        _report_run(self._observer, signature.origin, len(tasks), rows, began)
        for task, part in zip(tasks, parts, strict=True):
            task.set_result(part)
        return True


def lower_priority() -> None:
    """Let this thread, and those that it starts, run after the threads that read requests."""
    if sys.platform == "linux":  # elsewhere a process has one niceness for all threads
        os.nice(_NICENESS)


def run_unbatched(work: Work, observer: Observer) -> Arrays:
    """Run work on this thread at once, as a server without batching does; errors as `Signature.run`.

    Many rows run in parts, one after the other, if they are known to be independent, so that the memory of a
    request does not grow with them.
    """
    signature, rows = work.signature, rows_of(work.arrays) if work.signature.batched else 0
    if rows > _MAX_ROWS and signature.independent:
        parts = split(work.arrays, _MAX_ROWS)
        results = [
            _run_here(signature, part, observer, rows_of(part), number * _MAX_ROWS)
            for number, part in enumerate(parts)
        ]
        return join(results)
    return _run_here(signature, work.arrays, observer, rows)


def _run_here(signature: Signature, arrays: Arrays, observer: Observer, rows: int, first: int = 0) -> Arrays:
    began = time.monotonic()
    results = signature.run(arrays, first=first)
    _report_run(observer, signature.origin, 1, rows, began)
    return results


def _report_run(observer: Observer, origin: Origin, requests: int, rows: int, began: float) -> None:
    observer.graph_ran(
        origin.model, origin.version, origin.signature, requests, rows, time.monotonic() - began
    )


def _failed_future(error: Exception) -> "Future[Arrays]":
    future: Future[Arrays] = Future()
    future.set_exception(error)
    return future


def _request_future(tasks: Sequence[Task]) -> "Future[Arrays]":
    return tasks[0] if len(tasks) == 1 else _joined_future(tasks)


def _joined_future(pieces: "Sequence[Future[Arrays]]") -> "Future[Arrays]":
    """Join the pieces of a request to one future; cancelling it cancels them."""
    whole: Future[Arrays] = Future()
    left, lock = len(pieces), threading.Lock()

    def one_ended(_: "Future[Arrays]") -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        if whole.set_running_or_notify_cancel():
            try:
                whole.set_result(join([piece.result() for piece in pieces]))
            except BaseException as error:
                whole.set_exception(error)

    def cancelled(_: "Future[Arrays]") -> None:
        if whole.cancelled():
            for piece in pieces:
                piece.cancel()

    whole.add_done_callback(cancelled)
    for piece in pieces:
        piece.add_done_callback(one_ended)
    return whole
