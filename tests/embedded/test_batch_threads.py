"""The batching threads: how they divide the work, and what they leave in memory."""

import asyncio
import gc
import os
import sys
import threading
from typing import Any

import pytest
from embedded.requests import floats
from embedded.test_batching import Arrays, Holding, Load
from embedded.test_observer import Notes

from keraserve_embedded.batching.batcher import Batcher
from keraserve_embedded.batching.event_loop import EventLoopBatcher
from keraserve_embedded.batching.options import BatchingOptions
from keraserve_embedded.calls.work import Work
from keraserve_embedded.models.signature import Signature


class _Sums:
    """Replaces a signature; runs only if two threads run it at the same time."""

    batched = independent = True

    def __init__(self, like: Signature) -> None:
        self.origin, self._both = like.origin, threading.Barrier(2)

    def run_merged(self, arrays: Arrays) -> Arrays:
        self._both.wait(10)
        return {"total": arrays["a"]}

    def run(self, arrays: Arrays, *, first: int) -> Arrays:
        assert arrays["a"][0] == first
        return self.run_merged(arrays)


class _Niceness(_Sums):
    """Replaces a signature; returns the niceness of the thread that runs it."""

    def run(self, arrays: Arrays, **_: int) -> Arrays:
        return {"total": arrays["a"] * 0 + os.nice(0)}


async def test_requests_of_one_loop_iteration_are_divided_among_free_threads(load: Load) -> None:
    notes, sums = Notes(), _Sums(load("numbers").signatures["serving_default"])
    batcher = Batcher(BatchingOptions(num_batch_threads=2), notes)
    loop_batcher = EventLoopBatcher(batcher)
    works = [Work(sums, {"a": floats(n)}) for n in range(8)]  # type: ignore[arg-type]
    totals = await asyncio.gather(*map(loop_batcher.run, works))
    assert [one["total"].tolist() for one in totals] == [[n] for n in range(8)]
    batcher.stop()
    assert [one[4:] for one in notes.events] == [(4, 4), (4, 4)]


def test_a_thread_leaves_half_of_the_waiting_rows_to_the_next_one(load: Load) -> None:
    notes, sums = Notes(), load("numbers").signatures["serving_default"]
    batcher = Batcher(BatchingOptions(num_batch_threads=2), notes)
    busy, free = [threading.Event(), threading.Event()], threading.Event()
    later = threading.Event()
    holders: list[Any] = [Holding(sums, busy[0], free), Holding(sums, busy[1], later)]
    for holder, begun in zip(holders, busy, strict=True):
        batcher.submit(Work(holder, {}))
        assert begun.wait(10)
    works = [Work(sums, {"a": floats(n), "b": floats(n)}) for n in range(36)]
    requested = batcher.submit_together(works)
    free.set()  # one thread has all of it, half by half, and the last eight at once
    assert [one.result(10)["total"].tolist() for one in requested] == [[2 * n] for n in range(36)]
    later.set()
    batcher.stop()
    assert [one[4] for one in notes.events if one[4:] != (1, 0)] == [18, 9, 8, 1]


def test_requests_leave_nothing_to_the_garbage_collector(load: Load) -> None:
    batcher, sums = Batcher(BatchingOptions(), Notes()), load("numbers").signatures["serving_default"]
    work = Work(sums, {"a": floats(1), "b": floats(1)})
    batcher.submit(work).result(10)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            batcher.submit(work).result(10)
        assert gc.collect() < 50
    finally:
        gc.enable()
        batcher.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no niceness of its own")
def test_threads_that_run_graphs_have_a_higher_niceness(load: Load) -> None:
    batcher, sums = (
        Batcher(BatchingOptions(), Notes()),
        _Niceness(load("numbers").signatures["serving_default"]),
    )
    requested = batcher.submit(Work(sums, {"a": floats(1)}))  # type: ignore[arg-type]
    assert requested.result(10)["total"].item() > os.nice(0)
    batcher.stop()


def test_a_request_that_may_be_split_is_divided_among_the_threads(load: Load) -> None:
    notes, sums = Notes(), _Sums(load("numbers").signatures["serving_default"])
    batcher = Batcher(BatchingOptions(num_batch_threads=2, max_execution_batch_size=100), notes)
    work = Work(sums, {"a": floats(*range(7))})  # type: ignore[arg-type]
    assert batcher.submit(work).result(10)["total"].tolist() == [*range(7)]
    batcher.stop()
    assert sorted(one[4:] for one in notes.events) == [(1, 3), (1, 4)]
