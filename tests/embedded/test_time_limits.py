"""Callers that don't finish sending, or don't read, are cut off on both ports."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from embedded.conftest import settings
from grpc_health.v1 import health_pb2, health_pb2_grpc
from http2_frames import SETTINGS

from keraserve_embedded.api import rest_connection
from keraserve_embedded.api.rest_connection import RestConnection
from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import StartError
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.process import server
from keraserve_embedded.process.server import Server
from keraserve_protocol import messages as m
from keraserve_protocol.services import PREDICT, Stub

SHORT = 1.0
Serve = Callable[..., tuple[Server, grpc.Channel]]


@pytest.fixture
def engine(models: Path, engines: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(server, "_RECEIVE_SECONDS", SHORT)
    monkeypatch.setattr(server, "_SEND_SECONDS", SHORT)
    monkeypatch.setattr(rest_connection, "HEAD_SECONDS", SHORT)
    monkeypatch.setattr(rest_connection, "READ_SECONDS", SHORT)
    return engines(ModelEntry("colours", (models / "colours",)))


class HeadersOnly:
    """Calls that never send their message."""

    def __init__(self, port: int, path: str, number: int) -> None:
        self._ended = False
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        call: Any = self._channel.stream_unary(path)
        self.calls = [call.future(self._nothing()) for _ in range(number)]

    def _nothing(self) -> Iterator[bytes]:
        while not self._ended:
            time.sleep(0.05)
        yield from ()

    def close(self) -> None:
        self._ended = True
        self._channel.close()


def test_calls_without_a_message_do_not_occupy_the_request_threads(engine: Engine, serve: Serve) -> None:
    started, channel = serve(engine, grpc_max_threads=2)
    paths = (PREDICT.path, "/tensorflow.serving.ModelService/GetModelStatus", "/grpc.health.v1.Health/Check")
    holding = [HeadersOnly(started.port, path, 12) for path in paths]
    time.sleep(0.3)
    stub, health = Stub(channel), health_pb2_grpc.HealthStub(channel)
    status = m.GetModelStatusRequest(model_spec=m.model_spec("colours"))
    assert stub.get_model_status(status, timeout=10).model_version_status[0].version == 1
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == 1
    with pytest.raises(grpc.RpcError) as rejected:
        stub.predict(m.PredictRequest(model_spec=m.model_spec("colours")), timeout=10)
    assert rejected.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    for one in holding:
        for call in one.calls:
            assert call.exception(20).code() == grpc.StatusCode.CANCELLED
        one.close()


def test_a_call_that_ends_without_a_message_is_rejected(engine: Engine, serve: Serve) -> None:
    _, channel = serve(engine)
    call: Any = channel.stream_unary(PREDICT.path)
    with pytest.raises(grpc.RpcError) as rejected:
        call(iter(()), timeout=10)
    assert rejected.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def closed_within(one: socket.socket, seconds: float) -> bytes:
    """Wait until the other end closes; gives what it sent."""
    one.settimeout(seconds)
    got = b""
    try:
        while more := one.recv(65536):
            got += more
    except ConnectionResetError:
        pass
    return got


def test_a_connection_to_the_grpc_port_that_says_nothing_is_closed(engine: Engine, serve: Serve) -> None:
    started, _ = serve(engine, channel_arguments=[("grpc.server_handshake_timeout_ms", 500)])
    with socket.create_connection(("127.0.0.1", started.port)) as silent:
        closed_within(silent, 20)
    ours = dict(server._options([]))
    assert ours["grpc.server_handshake_timeout_ms"] == 10_000


@pytest.fixture
def rest(engine: Engine) -> Iterator[int]:
    served = Server(engine, settings(rest_api_port=0))
    served.start()
    yield served.rest_port
    served.drain()


@pytest.mark.parametrize(
    "sent", [b"", b"GET /v1/models/colours HT", b"GET /v1/models/colours HTTP/1.1\r\nHost: x"]
)
def test_a_head_that_never_ends_is_cut_off(rest: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", rest)) as slow:
        slow.sendall(sent)
        assert closed_within(slow, 20) == b""
    with httpx2.Client(base_url=f"http://127.0.0.1:{rest}") as client:
        for _ in range(2):  # and a second request on the connection of the first is no slow head
            assert client.get("/v1/models/colours").status_code == 200
            time.sleep(SHORT * 1.2)


def test_a_client_that_never_reads_is_cut_off(rest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    open_ones: set[RestConnection] = set()
    made, lost = RestConnection.connection_made, RestConnection.connection_lost
    monkeypatch.setattr(RestConnection, "connection_made", lambda *a: (open_ones.add(a[0]), made(*a)))
    monkeypatch.setattr(RestConnection, "connection_lost", lambda *a: (open_ones.discard(a[0]), lost(*a)))
    question = b"GET /v1/models/colours/metadata HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", rest))
        deaf.sendall(question)
        while not open_ones:
            time.sleep(0.01)
        deaf.sendall(question * 4000)  # their responses are more than any buffer on the way takes
        until = time.monotonic() + 60
        while open_ones:  # what the system still has to send keeps the socket open at this end
            assert time.monotonic() < until, "it was not cut off"
            time.sleep(0.1)
    assert httpx2.get(f"http://127.0.0.1:{rest}/v1/models/colours").status_code == 200


LARGE = b"x" * (rest_connection.HEAD_BYTES + 1)
QUESTION = b"GET /v1/models/colours HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + LARGE + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + LARGE,
        QUESTION + b"X: " + LARGE + b"\r\n\r\n",
        QUESTION + b"X: " + LARGE,
        QUESTION + b"X: y\r\n" * (len(LARGE) // 5) + b"\r\n",
    ],
)
def test_a_head_has_a_bound(rest: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", rest)) as large:
        large.sendall(sent)
        response = closed_within(large, 20)
    assert response.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert response.endswith(b'{"error":"the request\'s line and headers have more than 32768 bytes"}')


def test_a_large_head_below_the_bound_and_a_large_body_are_accepted(rest: int) -> None:
    with httpx2.Client(base_url=f"http://127.0.0.1:{rest}") as client:
        for _ in range(2):
            response = client.post(
                "/v1/models/colours:predict", content=b" " * 300_000, headers={"X": "y" * 30_000}
            )
            assert response.status_code == 400
        assert client.get("/v1/models/colours").status_code == 200


def test_idle_connections_are_closed_for_new_ones(rest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the REST port: those that are quiet, or send the half of a body, are closed for a new connection."""
    monkeypatch.setattr(rest_connection, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(rest_connection, "HEAD_SECONDS", 600)
    half = b"POST /v1/models/colours:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
    held = [socket.create_connection(("127.0.0.1", rest)) for _ in range(6)]
    for number, one in enumerate(held):
        one.sendall(half if number % 2 else b"")
    for _ in range(3):
        assert httpx2.get(f"http://127.0.0.1:{rest}/v1/models/colours", timeout=60).status_code == 200
    for one in held[:3]:
        assert closed_within(one, 20) == b""
    for one in held:
        one.close()


@pytest.mark.parametrize("sent", [b"", SETTINGS])
def test_grpc_connections_without_a_call_are_closed_for_new_ones(
    engine: Engine, serve: Serve, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    """More of them than may be open, and nothing of them would end by itself."""
    options = [("grpc.max_allowed_incoming_connections", 4), ("grpc.server_handshake_timeout_ms", 600_000)]
    started, _ = serve(engine, channel_arguments=options)
    held = [socket.create_connection(("127.0.0.1", started.port)) for _ in range(40)]
    for one in held:
        with contextlib.suppress(OSError):  # it was rejected
            one.sendall(sent)
    for _ in range(3):
        with grpc.insecure_channel(
            f"127.0.0.1:{started.port}", [("grpc.use_local_subchannel_pool", 1)]
        ) as own:
            requested = health_pb2_grpc.HealthStub(own).Check(
                health_pb2.HealthCheckRequest(), timeout=60, wait_for_ready=True
            )
            assert requested.status == 1
    assert "as many gRPC connections are open as are allowed" in caplog.text
    for one in held:
        one.close()


def test_a_number_of_connections_must_be_a_number(engine: Engine, serve: Serve) -> None:
    with pytest.raises(StartError, match="is a number, not 'many'"):
        serve(engine, channel_arguments=[("grpc.max_allowed_incoming_connections", "many")])
