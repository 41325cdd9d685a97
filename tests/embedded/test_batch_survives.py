"""Batching threads continue whatever a request brings; health reports one that has ended."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from embedded.requests import example, examples, floats, predict_request, strings
from embedded.test_batching import Arrays, Load
from embedded.test_observer import Notes
from grpc_health.v1 import health_pb2, health_pb2_grpc

from keraserve_embedded.batching.batcher import Batcher
from keraserve_embedded.batching.options import BatchingOptions
from keraserve_embedded.calls.work import Work
from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import Code, EmbeddedError, ExecutionError, InternalError
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.models.signature import Signature
from keraserve_embedded.process.server import Server
from keraserve_protocol import messages as m
from keraserve_protocol.tensors import from_proto

# No tf.Example, and no UTF-8: TensorFlow quotes it in its message, which its Python then can't read.
NO_TEXT = b"\x0a\xdb\xff\xfe\xdb\x80" + bytes(range(128, 200))
THREADS = 2


def classification(*serialized: bytes) -> m.ClassificationRequest:
    spec = m.model_spec("colours", signature="classify")
    return m.ClassificationRequest(model_spec=spec, input=examples(*serialized))


def ask(engine: Engine, requests: list[m.ClassificationRequest]) -> list[Any]:
    """Send all requests at once; returns responses and errors."""
    responses: list[Any] = [None] * len(requests)
    together = threading.Barrier(len(requests))

    def one(place: int) -> None:
        together.wait(20)
        try:
            responses[place] = engine.classify(requests[place])
        except EmbeddedError as error:
            responses[place] = error

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return responses


@pytest.fixture
def engine(models: Path, engines: Callable[..., Engine]) -> Engine:
    entry = ModelEntry("colours", (models / "colours",))
    return engines(entry, batching=BatchingOptions(num_batch_threads=THREADS))


def test_bytes_that_are_no_text_end_no_thread(engine: Engine, red: bytes) -> None:
    for _ in range(4):
        responses = ask(engine, [classification(NO_TEXT)] * 12 + [classification(example(image=red))] * 4)
        for bad in responses[:12]:
            assert isinstance(bad, ExecutionError)
            assert bad.code == Code.INVALID_ARGUMENT
            assert "Could not parse example input" in str(bad)
        for good in responses[12:]:
            assert good.result.classifications[0].classes[0].label == "red"
    assert engine.batch_threads() == (THREADS, THREADS)
    assert engine.ready()


def test_bytes_that_are_no_text_are_invalid_without_batching_too(colours: LoadedVersion, red: bytes) -> None:
    with pytest.raises(ExecutionError, match=r"inputs\[1\]: Could not parse example input") as raised:
        colours.signatures["classify"].run({"inputs": strings(example(image=red), NO_TEXT)})
    assert raised.value.code == Code.INVALID_ARGUMENT


def test_a_message_that_quotes_a_large_input_is_cut(colours: LoadedVersion) -> None:
    with pytest.raises(ExecutionError) as raised:
        colours.signatures["classify"].run({"inputs": strings(NO_TEXT * 100_000)})
    assert len(str(raised.value)) < 5000


class _Failing:
    """Stands for a signature whose graph, or what is done with its results, fails in any way."""

    batched = independent = True

    def __init__(self, like: Signature, failure: BaseException) -> None:
        self.origin, self._failure = like.origin, failure

    def run_merged(self, _: Arrays) -> Arrays:
        raise self._failure

    def run(self, _: Arrays, **__: int) -> Arrays:
        raise self._failure


@pytest.mark.parametrize("failure", [MemoryError(), SystemExit(), ValueError("no such thing")], ids=repr)
def test_a_thread_continues_whatever_a_graph_raises(load: Load, failure: BaseException) -> None:
    sums = load("numbers").signatures["serving_default"]
    failing: Any = _Failing(sums, failure)
    batcher = Batcher(BatchingOptions(num_batch_threads=1), Notes())
    for _ in range(3):
        requested: list[Future[Any]] = batcher.submit_together([Work(failing, {"a": floats(1)})] * 3)
        assert all(isinstance(one.exception(10), Exception) for one in requested)
    assert batcher.submit(Work(sums, {"a": floats(1), "b": floats(1)})).result(10)["total"].tolist() == [2]
    assert batcher.threads() == (1, 1)
    batcher.stop()


def test_health_and_status_report_threads_that_have_ended(
    engine: Engine, serve: Callable[..., tuple[Server, grpc.Channel]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, channel = serve(engine)
    health, question = health_pb2_grpc.HealthStub(channel), health_pb2.HealthCheckRequest()
    status = m.GetModelStatusRequest(model_spec=m.model_spec("colours"))
    assert health.Check(question).status == health_pb2.HealthCheckResponse.SERVING
    assert engine.status(status).model_version_status[0].state == m.ModelVersionStatus.AVAILABLE
    watching = health.Watch(question)
    assert next(watching).status == health_pb2.HealthCheckResponse.SERVING

    batcher = engine._batcher
    assert batcher
    monkeypatch.setattr(batcher, "_take", lambda: None)  # a defect: the next look ends the thread
    request = predict_request("colours", {"images": np.full((1, 1, 1, 3), (230, 20, 20), np.uint8)})
    assert from_proto(engine.predict(request).outputs["label"]).tolist() == [b"red"]

    assert next(watching).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watching.cancel()
    assert engine.batch_threads() == (THREADS - 1, THREADS)
    with pytest.raises(InternalError, match="only 1 of 2 threads for batches run: restart this server"):
        engine.status(status)
    monkeypatch.undo()
