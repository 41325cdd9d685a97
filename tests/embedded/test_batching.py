"""Requests that wait at the same time run as one batch, with the results that they would have alone."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from embedded.requests import floats, image_request, predict_request, strings, wait_request
from embedded.test_engine import write_warmup
from embedded.test_observer import Notes

from keraserve_embedded.batching.batcher import Batcher
from keraserve_embedded.batching.event_loop import EventLoopBatcher
from keraserve_embedded.batching.options import BatchingOptions
from keraserve_embedded.calls.work import Work
from keraserve_embedded.deadline import Deadline
from keraserve_embedded.engine import Engine, EngineOptions
from keraserve_embedded.errors import (
    DeadlineExceededError,
    ExecutionError,
    InvalidRequestError,
    QueueFullError,
    RequestCancelledError,
)
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.models.signature import Signature
from keraserve_protocol import messages as m
from keraserve_protocol.tensors import from_proto

Load = Callable[[str], LoadedVersion]
Arrays = dict[str, Any]


class Batches:
    """A batcher with one thread, which is busy until `release` is called: requests wait until then."""

    def __init__(self, load: Load, **options: Any) -> None:
        self.notes = Notes()
        self.batcher = Batcher(BatchingOptions(**{"num_batch_threads": 1, **options}), self.notes)
        self._free = threading.Event()
        self._busy = threading.Event()
        holder: Any = Holding(load("numbers").signatures["serving_default"], self._busy, self._free)
        self.batcher.submit(Work(holder, {}))
        assert self._busy.wait(10)

    def submit(self, signature: Signature, **arrays: Any) -> "Future[Any]":
        return self.batcher.submit(Work(signature, arrays))

    def release(self) -> None:
        self._free.set()

    def ran(self) -> list[tuple[int, int]]:
        """Requests and rows of the batches that ran, in order, without the holder's."""
        return [(one[4], one[5]) for one in self.notes.events if one[0] == "ran"][1:]  # type: ignore[misc]


class Holding:
    """Replaces a signature; its graph runs until an event is set."""

    batched = independent = False

    def __init__(self, like: Signature, busy: threading.Event, free: threading.Event) -> None:
        self.origin, self._busy, self._free = like.origin, busy, free

    def run(self, _: Arrays, **__: int) -> Arrays:
        self._busy.set()
        assert self._free.wait(30)
        return {}


@pytest.fixture
def hold(load: Load) -> Any:
    made: list[Batches] = []

    def make(**options: Any) -> Batches:
        made.append(Batches(load, **options))
        return made[-1]

    yield make
    for one in made:
        one.release()
        one.batcher.stop()


def test_waiting_requests_run_as_one_batch_and_get_their_own_results(hold: Any, load: Load) -> None:
    batches, sums = hold(max_batch_size=4), load("numbers").signatures["serving_default"]
    futures = [batches.submit(sums, a=floats(n, n), b=floats(1, 2)) for n in range(3)]
    assert batches.batcher.waiting() == {sums.origin: 6}
    batches.release()
    assert [f.result(10)["total"].tolist() for f in futures] == [[n + 1, n + 2] for n in range(3)]
    assert batches.ran() == [(2, 4), (1, 2)]
    assert batches.batcher.waiting() == {}


def test_a_bad_image_fails_alone(hold: Any, colours: LoadedVersion, red: bytes, green: bytes) -> None:
    batches, images = hold(), colours.signatures["image_bytes"]
    good = [batches.submit(images, image_bytes=strings(red))]
    bad = batches.submit(images, image_bytes=strings(red, b"no image"))
    good += [batches.submit(images, image_bytes=strings(green, red))]
    batches.release()
    assert [f.result(20)["label"].tolist() for f in good] == [[b"red"], [b"green", b"red"]]
    with pytest.raises(ExecutionError, match=r"^image_bytes\[1\]: Unknown image file format"):
        bad.result(10)


def test_only_requests_of_equal_inner_shapes_are_merged(
    hold: Any, load: Load, colours: LoadedVersion
) -> None:
    batches, images = hold(), colours.signatures["serving_default"]
    sizes = [(8, 8), (4, 6), (8, 8)]
    futures = [
        batches.submit(images, images=np.full((1, *size, 3), (230, 20, 20), np.uint8)) for size in sizes
    ]
    sums = load("numbers").signatures["serving_default"]
    # Inputs that don't agree on the number of rows: the graph decides, as without batching.
    futures += [batches.submit(sums, a=floats(1), b=floats(2, 3)) for _ in range(2)]
    batches.release()
    assert [f.result(20)["label"].tolist() for f in futures[:3]] == [[b"red"]] * 3
    assert [f.result(20)["total"].tolist() for f in futures[3:]] == [[3, 4]] * 2
    assert sorted(batches.ran()) == [(1, 0), (1, 0), (1, 1), (2, 2)]


def test_a_signature_without_a_batch_runs_alone(hold: Any, load: Load) -> None:
    batches, shapes = hold(), load("numbers").signatures["shapes"]
    futures = [batches.submit(shapes, scalar=np.int64(n), square=np.eye(2)) for n in (1, 2)]
    batches.release()
    assert [f.result(10)["text"].item() for f in futures] == [b"1", b"2"]
    assert batches.ran() == [(1, 0), (1, 0)]


class Distinct(tf.Module):
    """Any number of rows, and any number of results, but not as many."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def distinct(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"values": tf.unique(x)[0]}


def test_results_that_are_no_batch_are_not_split(
    hold: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    module = Distinct()
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": module.distinct})
    version = LoadedVersion("distinct", 1, tmp_path, assume_independent=True)
    batches, distinct = hold(), version.signatures["serving_default"]
    futures = [batches.submit(distinct, x=floats(1, 1, n)) for n in (2, 1)]
    batches.release()
    assert [f.result(10)["values"].tolist() for f in futures] == [[1, 2], [1]]
    assert batches.submit(distinct, x=floats(3, 3)).result(10)["values"].tolist() == [3]
    assert [requests for requests, _ in batches.ran()] == [1, 1, 1]
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == "distinct 1 serving_default: its results are no batch; its requests run alone from now on"


def test_padding_to_allowed_sizes_and_inner_shapes(hold: Any, load: Load, colours: LoadedVersion) -> None:
    batches = hold(max_batch_size=4, allowed_batch_sizes=(2, 4), pad_variable_length_inputs=True)
    sums, images = load("numbers").signatures["serving_default"], colours.signatures["serving_default"]
    one = batches.submit(sums, a=floats(1, 2, 3), b=floats(1, 1, 1))
    two = [
        batches.submit(images, images=np.full((1, side, 2 * side, 3), (20, 230, 20), np.uint8))
        for side in (2, 5)
    ]
    batches.release()
    assert one.result(10)["total"].tolist() == [2, 3, 4]
    assert [f.result(10)["label"].tolist() for f in two] == [[b"green"]] * 2
    assert batches.ran() == [(1, 4), (2, 2)]


def test_long_requests_are_split_or_rejected(
    hold: Any, load: Load, colours: LoadedVersion, red: bytes
) -> None:
    sums = load("numbers").signatures["serving_default"]
    batches = hold(max_batch_size=10, max_execution_batch_size=4)
    whole = batches.submit(sums, a=floats(*range(10)), b=floats(*[1] * 10))
    small = batches.submit(sums, a=floats(5), b=floats(5))
    bad = batches.submit(colours.signatures["image_bytes"], image_bytes=strings(*[red] * 4, b"no image"))
    with pytest.raises(InvalidRequestError, match="Task size 11 is larger than maximum input batch size 10"):
        batches.submit(sums, a=floats(*range(11)), b=floats(*range(11)))
    batches.release()
    assert whole.result(10)["total"].tolist() == list(range(1, 11))
    assert small.result(10)["total"].tolist() == [10]
    with pytest.raises(ExecutionError, match=r"^image_bytes\[4\]: "):
        bad.result(20)
    assert sorted(batches.ran()) == [(1, 4), (1, 4), (1, 4), (2, 3)]


def test_a_full_queue_rejects_until_a_request_is_cancelled(hold: Any, load: Load) -> None:
    batches, sums = hold(max_batch_size=2, max_enqueued_batches=2), load("numbers").signatures
    wait = [batches.submit(sums["serving_default"], a=floats(n), b=floats(n)) for n in range(4)]
    with pytest.raises(QueueFullError, match="full: 4 of 4 rows are taken"):
        batches.submit(sums["serving_default"], a=floats(1), b=floats(1))
    assert batches.submit(sums["halves"], x=floats(1)).done() is False  # a queue for each signature
    assert wait[1].cancel()
    last = batches.submit(sums["serving_default"], a=floats(9), b=floats(0))
    batches.release()
    assert last.result(10)["total"].tolist() == [9]
    assert wait[0].result(10)["total"].tolist() == [0]
    assert (2, 2) in batches.ran()


def test_every_piece_of_a_cancelled_request_leaves_the_queue(hold: Any, load: Load) -> None:
    batches, sums = hold(max_batch_size=9, max_execution_batch_size=2), load("numbers").signatures
    whole = batches.submit(sums["serving_default"], a=floats(*range(5)), b=floats(*range(5)))
    assert whole.cancel()
    assert batches.batcher.waiting() == {}


def test_the_operators_timeout_is_waited_for_unless_the_batch_is_full(load: Load) -> None:
    notes, sums = Notes(), load("numbers").signatures["serving_default"]
    batcher = Batcher(BatchingOptions(max_batch_size=2, batch_timeout_micros=60_000_000), notes)
    work = Work(sums, {"a": floats(1), "b": floats(2)})
    first = batcher.submit(work)
    with pytest.raises(TimeoutError):
        first.result(0.2)
    batcher.submit(work).result(10)
    batcher.stop()
    assert [one[4:] for one in notes.events] == [(2, 2)]


def test_stopping_cancels_waiting_requests(hold: Any, load: Load) -> None:
    batches, sums = hold(), load("numbers").signatures["serving_default"]
    future = batches.submit(sums, a=floats(1), b=floats(1))
    threading.Timer(0.2, batches.release).start()
    batches.batcher.stop()
    assert future.cancelled()


def request(a: float) -> m.PredictRequest:
    return predict_request("numbers", {"a": floats(a), "b": floats(1.0)})


@pytest.fixture
def engine(many: Path, models: Path, engines: Callable[..., Engine]) -> Engine:
    entries = [ModelEntry("numbers", (many / "numbers",)), ModelEntry("waiting", (many / "waiting",))]
    return engines(
        *entries, ModelEntry("colours", (models / "colours",)), batching=BatchingOptions(num_batch_threads=1)
    )


async def test_an_event_loop_gets_the_errors_of_requests(hold: Any, load: Load) -> None:
    batches, sums = (
        hold(max_batch_size=2, max_enqueued_batches=1),
        load("numbers").signatures["serving_default"],
    )
    loop_batcher = EventLoopBatcher(batches.batcher)
    works = [Work(sums, {"a": floats(*rows), "b": floats(*rows)}) for rows in ([1, 2, 3], [1], [2], [3], [4])]
    *requested, gone = [asyncio.create_task(loop_batcher.run(work)) for work in works]
    await asyncio.sleep(0)
    gone.cancel()  # before it is submitted
    await asyncio.sleep(0.05)
    requested[1].cancel()  # and after it
    await asyncio.wait([gone, requested[1]])
    assert sum(batches.batcher.waiting().values()) == 1
    batches.release()
    too_long, _, good, full = await asyncio.gather(*requested, return_exceptions=True)
    assert isinstance(too_long, InvalidRequestError)
    assert isinstance(full, QueueFullError)
    assert good["total"].tolist() == [4]  # type: ignore[index,call-overload]


async def test_an_event_loop_needs_no_thread_for_each_request(
    engine: Engine, red: bytes, green: bytes
) -> None:
    threads, loop_batcher = threading.active_count(), engine.event_loop_batcher()
    slow = asyncio.create_task(engine.respond(wait_request(1.0), loop_batcher))
    await asyncio.sleep(0.1)
    sums = [asyncio.create_task(engine.respond(request(n), loop_batcher)) for n in range(50)]
    named = [
        asyncio.create_task(engine.respond(image_request(one), loop_batcher)) for one in (red, b"bad", green)
    ]
    gone = asyncio.create_task(engine.respond(request(7), loop_batcher))
    await asyncio.sleep(0.05)
    assert threading.active_count() == threads
    gone.cancel()
    await asyncio.wait([gone])
    assert sum(engine.waiting().values()) == 53
    responses = [from_proto((await one).outputs["total"]).tolist() for one in sums]
    assert responses == [[n + 1] for n in range(50)]
    first, bad, last = await asyncio.gather(*named, return_exceptions=True)
    assert [from_proto(one.outputs["label"]).item() for one in (first, last)] == [b"red", b"green"]  # type: ignore[union-attr]
    assert isinstance(bad, ExecutionError)
    assert (await slow).model_spec.name == "waiting"


def test_a_request_on_a_thread_may_have_a_deadline(engine: Engine) -> None:
    slow = threading.Thread(target=engine.predict, args=(wait_request(1.0),))
    slow.start()
    while not engine._manager._models["waiting"].available[1].running:
        pass
    with pytest.raises(DeadlineExceededError):
        engine.predict(request(1), Deadline(0.1))
    assert engine.waiting() == {}
    leaving = Deadline()
    threading.Timer(0.1, leaving.cancel).start()
    with pytest.raises(RequestCancelledError):
        engine.predict(request(1), leaving)
    assert engine.waiting() == {}
    slow.join()
    assert from_proto(engine.predict(request(1)).outputs["total"]).tolist() == [2]


def test_the_engine_without_batching_needs_no_threads_for_it(many: Path) -> None:
    threads = threading.active_count()
    engine = Engine(EngineOptions(poll_seconds=0.05))
    assert engine.start([ModelEntry("numbers", (many / "numbers",))])
    assert threading.active_count() == threads + 1
    assert engine.waiting() == {}
    engine.stop()


def test_warm_up_runs_each_allowed_size(many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "numbers/1"
    shutil.copytree(many / "numbers/1", folder)
    write_warmup(folder, m.PredictionLog(predict_log=m.PredictLog(request=request(1))))
    sizes, run = list[int](), Signature.run

    def noted(self: Signature, arrays: Arrays, **how: int) -> Any:
        sizes.append(len(arrays["a"]))
        return run(self, arrays, **how)

    monkeypatch.setattr(Signature, "run", noted)
    batching = BatchingOptions(max_batch_size=4, allowed_batch_sizes=(1, 2, 4))
    engine = Engine(EngineOptions(poll_seconds=0.05, batching=batching))
    assert engine.start([ModelEntry("numbers", (folder.parent,))])
    engine.stop()
    assert sizes == [2, 4, 1]
