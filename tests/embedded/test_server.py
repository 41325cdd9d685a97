"""The gRPC services, in process: statuses, health, draining."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from embedded.requests import until, wait_request
from grpc_health.v1 import health_pb2, health_pb2_grpc

from keraserve_embedded.api.address import check_port, format_address
from keraserve_embedded.batching.options import BatchingOptions
from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import StartError
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.process.server import Server
from keraserve_protocol import messages as m
from keraserve_protocol.services import Stub
from keraserve_protocol.tensors import to_proto

SPEC = m.model_spec
Engines = Callable[..., Engine]
Serve = Callable[..., tuple[Server, grpc.Channel]]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def waiting(engines: Engines, many: Path) -> Engine:
    return engines(ModelEntry("waiting", (many / "waiting",)))


def rejected(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), error.value.details()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        (None, "INVALID_ARGUMENT", "Missing ModelSpec"),
        (m.ModelSpec(), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (SPEC("other"), "NOT_FOUND", "Servable not found for request: Latest(other)"),
        (SPEC("waiting", version=3), "NOT_FOUND", "Servable not found for request: Specific(waiting, 3)"),
        (SPEC("waiting", label="x"), "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        (SPEC("other", label="x"), "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        (SPEC("waiting", signature="x"), "FAILED_PRECONDITION", 'Serving signature key "x" not found.'),
    ],
)
def test_a_wrong_model_spec_is_rejected(
    waiting: Engine, stub: Callable[..., Stub], spec: m.ModelSpec | None, code: str, said: str
) -> None:
    made = m.PredictRequest(model_spec=spec)
    got = rejected(lambda: stub(waiting).predict(made))
    assert (got[0].name, got[1]) == (code, said)


def test_status_and_metadata_reject_as_tensorflow_serving(waiting: Engine, stub: Callable[..., Stub]) -> None:
    calls = stub(waiting)
    spec, other, metadata = m.model_spec("waiting"), m.model_spec("other"), m.GetModelMetadataRequest
    for request, said in [
        (metadata(metadata_field=["signature_def"]), "Missing ModelSpec"),
        (metadata(model_spec=spec), "must specify at least one metadata_field"),
        (metadata(model_spec=spec, metadata_field=["x"]), "Metadata field x is not supported"),
        (
            metadata(model_spec=other, metadata_field=["signature_def"]),
            "not found for request: Latest(other)",
        ),
    ]:
        assert said in rejected(lambda r=request: calls.get_model_metadata(r))[1]  # type: ignore[misc]
    for spec, said in [
        (other, "Could not find any versions of model other"),
        (m.model_spec("waiting", version=4), "Could not find version 4 of model waiting"),
    ]:
        got = rejected(lambda s=spec: calls.get_model_status(m.GetModelStatusRequest(model_spec=s)))  # type: ignore[misc]
        assert got == (grpc.StatusCode.NOT_FOUND, said)


def test_a_defect_is_one_line(
    waiting: Engine, stub: Callable[..., Stub], monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(waiting, "predict", defect)
    got = rejected(lambda: stub(waiting).predict(m.PredictRequest()))
    assert got == (grpc.StatusCode.INTERNAL, "internal error: KeyError")


def test_health_and_status_respond_while_all_threads_are_busy(waiting: Engine, serve: Serve) -> None:
    channel = serve(waiting, grpc_max_threads=1)[1]
    calls, health = Stub(channel), health_pb2_grpc.HealthStub(channel)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(calls.predict, wait_request(1.0)) for _ in range(2)]
        time.sleep(0.1)
        assert health.Check(health_pb2.HealthCheckRequest()).status == SERVING
        spec = m.model_spec("waiting")
        assert calls.get_model_status(m.GetModelStatusRequest(model_spec=spec)).model_version_status
        requested = m.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        assert calls.get_model_metadata(requested).model_spec.name == "waiting"
        assert not any(one.done() for one in running)


def test_a_cancelled_call_leaves_the_queue(many: Path, engines: Engines, serve: Serve) -> None:
    one = BatchingOptions(num_batch_threads=1)
    engine = engines(ModelEntry("waiting", (many / "waiting",)), batching=one)
    calls = Stub(serve(engine)[1])
    slow = calls.predict.future(wait_request(1.5))
    time.sleep(0.2)
    queued = [calls.predict.future(wait_request(30)) for _ in range(2)]
    late = calls.predict.future(wait_request(30), timeout=0.5)
    while list(engine.waiting().values()) != [3]:
        assert not late.done()
    for call in queued:
        call.cancel()
    assert late.exception().code().name == "DEADLINE_EXCEEDED"
    slow.result()
    assert engine.waiting() == {}
    calls.predict(wait_request(0.01))


def test_requests_run_side_by_side(waiting: Engine, stub: Callable[..., Stub]) -> None:
    calls = stub(waiting)
    calls.predict(wait_request(0.01))
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: calls.predict(wait_request(2.0)), range(4)))
    assert time.monotonic() - began < 7


def test_a_deadline_that_passed_while_waiting_costs_nothing(waiting: Engine, serve: Serve) -> None:
    calls = Stub(serve(waiting, grpc_max_threads=1)[1])
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(calls.predict, wait_request(0.6))
        time.sleep(0.1)
        assert rejected(lambda: calls.predict(wait_request(30), timeout=0.2))[0].name == "DEADLINE_EXCEEDED"
        slow.result()
        began = time.monotonic()
        calls.predict(wait_request(0.01))
    assert time.monotonic() - began < 5


def test_images_of_megabytes_pass(waiting: Engine, stub: Callable[..., Stub]) -> None:
    made = wait_request(0.01)
    made.inputs["extra"].CopyFrom(to_proto(np.zeros(40 << 20, np.uint8)))
    assert "Sent extra: {extra}" in rejected(lambda: stub(waiting).predict(made))[1]
    small = stub(waiting, channel_arguments=[("grpc.max_receive_message_length", 1000)])
    made.inputs["extra"].CopyFrom(to_proto(np.zeros(2000, np.uint8)))
    assert rejected(lambda: small.predict(made))[0].name == "RESOURCE_EXHAUSTED"


def test_health_follows_the_models(waiting: Engine, many: Path, serve: Serve) -> None:
    server, channel = serve(waiting)
    health = health_pb2_grpc.HealthStub(channel)

    def check(service: str = "") -> int:
        return health.Check(health_pb2.HealthCheckRequest(service=service)).status

    assert {check(s) for s in ("", "PredictionService", "tensorflow.serving.PredictionService")} == {SERVING}
    assert rejected(lambda: check("other"))[0].name == "NOT_FOUND"
    entry = ModelEntry("waiting", (many / "waiting",))
    waiting.configure([entry, ModelEntry("gone", (many / "gone",))])
    for wanted in (NOT_SERVING, SERVING):
        until(lambda state=wanted: check() == state)
        waiting.configure([entry])
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == SERVING
    began = time.monotonic()
    server.drain()
    assert time.monotonic() - began < 5  # a watcher does not keep the server
    assert next(watch).status == NOT_SERVING


def test_no_health_unless_wanted(waiting: Engine, serve: Serve) -> None:
    health = health_pb2_grpc.HealthStub(serve(waiting, enable_grpc_healthcheck_service=False)[1])
    assert rejected(lambda: health.Check(health_pb2.HealthCheckRequest()))[0].name == "UNIMPLEMENTED"


def test_draining_completes_running_requests_and_rejects_new_ones(waiting: Engine, serve: Serve) -> None:
    server, channel = serve(waiting)
    calls = Stub(channel)
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(calls.predict, wait_request(1.0))
        time.sleep(0.3)
        draining = threading.Thread(target=server.drain)
        draining.start()
        time.sleep(0.2)
        assert rejected(lambda: calls.predict(wait_request(0.01)))[0].name == "UNAVAILABLE"
        assert running.result().model_spec.name == "waiting"
        draining.join(5)
    assert not draining.is_alive()


def test_draining_has_an_end(waiting: Engine, serve: Serve) -> None:
    server, channel = serve(waiting, drain_seconds=0.2)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(Stub(channel).predict, wait_request(5.0))
        time.sleep(0.3)
        began = time.monotonic()
        server.drain()
        assert time.monotonic() - began < 4
        assert running.exception() is not None


def test_a_port_that_is_taken_is_named(waiting: Engine, serve: Serve) -> None:
    server, _ = serve(waiting)
    with pytest.raises(StartError, match=f"can't listen on 127.0.0.1:{server.port}: Address already in use"):
        check_port("127.0.0.1", server.port)
    with pytest.raises(StartError, match=f"can't listen on 127.0.0.1:{server.port}: is it taken"):
        serve(waiting, port=server.port)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    check_port("127.0.0.1", port)
    assert format_address("::1", 8500) == "[::1]:8500"


def test_a_unix_socket(waiting: Engine, serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "grpc.sock"
    server, _ = serve(waiting, grpc_socket_path=str(path), port=None)
    assert server.port == 0
    with grpc.insecure_channel(f"unix:{path}") as channel:
        assert Stub(channel).predict(wait_request(0.01)).model_spec.name == "waiting"


def test_as_many_threads_as_are_set(waiting: Engine, stub: Callable[..., Stub]) -> None:
    calls = stub(waiting, grpc_max_threads=1)
    began = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: calls.predict(wait_request(0.2)), range(3)))
    assert time.monotonic() - began >= 0.6  # one after the other


def test_the_address_is_the_operators(waiting: Engine, serve: Serve) -> None:
    server, _ = serve(waiting, host="127.0.0.2", rest_api_port=0)
    with grpc.insecure_channel(f"127.0.0.2:{server.port}") as channel:
        assert Stub(channel).predict(wait_request(0.01)).model_spec.name == "waiting"
    socket.create_connection(("127.0.0.2", server.rest_port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.rest_port))


def test_a_rest_port_that_is_taken_is_named(waiting: Engine, serve: Serve) -> None:
    server, _ = serve(waiting, rest_api_port=0)
    with pytest.raises(StartError, match=f"can't listen on 127.0.0.1:{server.rest_port}: Address already in"):
        serve(waiting, rest_api_port=server.rest_port)
