"""Deadlines and retries, alike for all four clients, against servers that misbehave as told."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest

from keraserve_client import (
    AsyncClient,
    AsyncGrpcClient,
    Client,
    ConnectionFailed,
    DeadlineExceeded,
    GrpcClient,
    KeraserveError,
    NotAuthorized,
    TooManyRequests,
    Unavailable,
)
from keraserve_client import _steps as steps
from keraserve_protocol import messages as m
from keraserve_protocol import services

OK = "ok"
HANG = "hang"
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
STATUS = {"model_version_status": [{"version": "3", "state": "AVAILABLE", "status": {}}]}


class Script:
    """What a server does, request by request; the last goes on for ever. Counts what it was asked."""

    def __init__(self) -> None:
        self.acts: list[Any] = [OK]
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.over = threading.Event()

    def play(self, *acts: Any, **headers: str) -> None:
        self.acts, self.headers, self.asked = list(acts), headers, 0

    def next(self) -> Any:
        self.asked += 1
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0]
        if act == HANG:
            self.over.wait(5)
        return act


def http_server(script: Script, port: int = 0) -> tuple[str, Callable[[], None]]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            act = script.next()
            if callable(act):
                act(self)
                self.close_connection = True
                return
            status = 200 if act in (OK, HANG) else act
            body = json.dumps(STATUS if status == 200 else {"error": "not now"}).encode()
            self.send_response(status)
            for name, value in script.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()

    def stop() -> None:
        script.over.set()
        server.shutdown()
        server.server_close()
        thread.join()

    return f"http://127.0.0.1:{server.server_port}", stop


def grpc_server(script: Script, port: int = 0) -> tuple[str, Callable[[], None]]:
    def status(request: m.GetModelStatusRequest, context: grpc.ServicerContext) -> m.GetModelStatusResponse:
        act = script.next()
        if act in (OK, HANG):
            entry = m.ModelVersionStatus(version=3, state=m.ModelVersionStatus.AVAILABLE)
            return m.GetModelStatusResponse(model_version_status=[entry])
        trailers = tuple((name.replace("_", "-").lower(), value) for name, value in script.headers.items())
        context.set_trailing_metadata(trailers)
        context.abort(CODES[act], "not now")
        raise AssertionError

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(services.handlers({services.GET_MODEL_STATUS: status}))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()

    def stop() -> None:
        script.over.set()
        server.stop(None).wait()

    return f"127.0.0.1:{bound}", stop


KINDS = {
    "http": (Client, http_server),
    "async-http": (AsyncClient, http_server),
    "grpc": (GrpcClient, grpc_server),
    "async-grpc": (AsyncGrpcClient, grpc_server),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return KINDS[request.param]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def client(kind: tuple[Any, Any], script: Script, connect: Any) -> Iterator[Any]:
    client_of, server_of = kind
    address, stop = server_of(script)
    yield connect(client_of, address, timeout=5, retries=3)
    stop()


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("status", [429, 503, 504])
def test_a_passing_trouble_is_not_seen(client: Any, script: Script, status: int) -> None:
    script.play(status, status, OK)
    assert client.status("m").available == (3,)
    assert script.asked == 3


@pytest.mark.parametrize("status", [400, 403, 500])
def test_what_would_fail_again_is_not_repeated(client: Any, script: Script, status: int) -> None:
    script.play(status)
    with pytest.raises(KeraserveError, match="not now") as caught:
        client.status("m")
    assert caught.value.status_code == status
    assert script.asked == 1


def test_trouble_of_some_seconds_is_waited_out(kind: Any, script: Script, connect: Any) -> None:
    client_of, server_of = kind
    address, stop = server_of(script)
    script.play(*[503] * 5, OK)
    try:
        assert connect(client_of, address).status("m").available == (3,)
    finally:
        stop()
    assert script.asked == 6


def test_it_gives_up_after_so_many_retries(client: Any, script: Script) -> None:
    script.play(503, X_Request_ID="abc")
    with pytest.raises(Unavailable) as caught:
        client.status("m")
    assert script.asked == 4
    error = caught.value
    assert (error.status_code, error.request_id, error.detail) == (503, "abc", "not now")
    assert str(error) == "not now (503, request abc)"


def test_retry_after_is_honoured(client: Any, script: Script) -> None:
    script.play(503, OK, Retry_After="1")
    assert 1.0 <= timed(lambda: client.status("m")) < 2.0


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(client: Any, script: Script) -> None:
    script.play(429, Retry_After="60")
    with pytest.raises(TooManyRequests) as caught:
        client.status("m")
    assert caught.value.retry_after == 60
    assert script.asked == 1


def test_a_server_that_hangs_costs_no_more_than_the_timeout(client: Any, script: Script) -> None:
    script.play(HANG)
    start = time.perf_counter()
    with pytest.raises(DeadlineExceeded, match=r"no response within 0\.3 s") as caught:
        client.status("m", timeout=0.3)
    assert 0.25 < time.perf_counter() - start < 10
    assert caught.value.status_code is None
    assert isinstance(caught.value, TimeoutError)


def test_the_timeout_is_for_all_retries_together(kind: Any, script: Script, connect: Any) -> None:
    client_of, server_of = kind
    address, stop = server_of(script)
    script.play(503)
    start = time.perf_counter()
    with pytest.raises(KeraserveError):
        connect(client_of, address, timeout=0.5).status("m")
    stop()
    assert time.perf_counter() - start < 10
    assert script.asked > 1


def test_nobody_there(kind: Any, connect: Any, nobody: str) -> None:
    client_of, server_of = kind
    address = f"http://{nobody}" if server_of is http_server else nobody
    client = connect(client_of, address, timeout=5, retries=1)
    with pytest.raises(
        ConnectionFailed, match=f"no server answers at {address}: connection refused"
    ) as caught:
        client.status("m")
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.status_code is None
    assert client.ready() is False


def test_a_server_that_comes_up_in_the_meantime_answers(
    kind: Any, script: Script, connect: Any, nobody: str
) -> None:
    client_of, server_of = kind
    address = f"http://{nobody}" if server_of is http_server else nobody
    started: list[Any] = []
    later = threading.Timer(0.3, lambda: started.append(server_of(script, int(nobody.split(":")[1]))))
    later.start()
    try:
        assert connect(client_of, address, timeout=10).status("m").available == (3,)
    finally:
        later.join()
        started[0][1]()


def test_not_ready_is_asked_once(client: Any, script: Script) -> None:
    script.play(503)
    assert timed(client.ready) < 0.5
    assert script.asked <= 1


@pytest.mark.parametrize("client_of", [Client, AsyncClient])
class TestHttp:
    """What only a stream of bytes can do wrong."""

    @pytest.fixture
    def client(self, client_of: Any, script: Script, connect: Any) -> Iterator[Any]:
        address, stop = http_server(script)
        yield connect(client_of, address, timeout=5)
        stop()

    def test_a_connection_that_closes_without_a_response(self, client: Any, script: Script) -> None:
        script.play(lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), OK)
        assert client.status("m").available == (3,)
        assert script.asked == 2

    def test_a_bad_gateway_passes(self, client: Any, script: Script) -> None:
        script.play(502, OK)  # gRPC has no status of its own for that
        assert client.status("m").available == (3,)
        assert script.asked == 2

    def test_a_response_that_breaks_off(self, client: Any, script: Script) -> None:
        script.play(
            lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), OK
        )
        assert client.status("m").available == (3,)

    def test_a_kept_connection_that_the_server_closed_meanwhile(self, client: Any, script: Script) -> None:
        def response_and_close(handler: Any) -> None:
            body = json.dumps(STATUS).encode()
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        script.play(response_and_close)
        for _ in range(3):
            assert client.status("m").available == (3,)
            time.sleep(0.02)

    def test_a_response_that_drips(self, client: Any, script: Script) -> None:
        def drip(handler: Any) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not script.over.wait(0.05):
                handler.wfile.write(b" ")

        script.play(drip)
        start = time.perf_counter()
        with pytest.raises(DeadlineExceeded):
            client.status("m", timeout=0.4)
        script.over.set()
        assert time.perf_counter() - start < 10

    def test_what_is_not_http(self, client: Any, script: Script) -> None:
        script.play(lambda handler: handler.wfile.write(b"SSH-2.0-Server\r\n\r\n"))
        with pytest.raises(ConnectionFailed, match="no server answers at http") as caught:
            client.status("m")
        assert caught.value.lasting
        assert script.asked == 1

    def test_a_server_that_never_reads_a_large_body(self, client_of: Any, connect: Any, silent: str) -> None:
        client = connect(client_of, f"http://{silent}")
        start = time.perf_counter()
        with pytest.raises(DeadlineExceeded):
            client.classify("m", bytes(30_000_000), timeout=0.4)
        assert time.perf_counter() - start < 10


@pytest.mark.parametrize("client_of", [GrpcClient, AsyncGrpcClient])
def test_a_grpc_server_that_never_speaks(client_of: Any, connect: Any, silent: str) -> None:
    start = time.perf_counter()
    with pytest.raises(DeadlineExceeded):
        connect(client_of, silent, timeout=0.4).status("m")
    assert time.perf_counter() - start < 10


def test_jitter_is_full_and_grows() -> None:
    retry = steps.Retry(times=9, first=0.1, longest=1.0)
    assert steps.Retry() == steps.Retry(times=None)
    error = Unavailable("", status_code=503)
    for attempt in range(8):
        pauses = [retry.pause(attempt, error, 100) or 0 for _ in range(300)]
        limit = min(1.0, 0.1 * 2**attempt)
        assert min(pauses) < 0.2 * limit
        assert 0.8 * limit < max(pauses) <= limit
    assert retry.pause(9, error, 100) is None
    assert retry.pause(0, NotAuthorized("", status_code=401), 100) is None
    waited = retry.pause(0, Unavailable("", status_code=503, retry_after=7), 100)
    assert waited is not None
    assert 7 <= waited <= 7.1


@pytest.mark.parametrize("away", [0.5, 5.0, 29.0, 29.8])
@pytest.mark.parametrize("asked", [None, 2.0])
def test_a_server_that_is_away_is_asked_until_the_time_is_up(away: float, asked: float | None) -> None:
    """A thousand clients of 30 s, their time counted instead of waited for."""
    if asked is not None and away + asked > 30:
        pytest.skip("the server itself asks for more time than there is")
    error = Unavailable("", status_code=503, retry_after=asked)
    for _ in range(1000):
        now, attempts = 0.0, 1
        while now < away:
            pause = steps.Retry().pause(attempts - 1, error, 30 - now)
            assert pause is not None
            assert (asked or 0) <= pause <= (asked or 0) + 5
            now, attempts = now + pause, attempts + 1
        assert now < 30
        assert attempts < 60
