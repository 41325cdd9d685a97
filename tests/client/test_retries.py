"""Deadlines and retries, the same for all four clients, against servers that fail as a test says."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from scripted_servers import HANG, OK, STATUS, Script, http_server

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

STATUS_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(STATUS), STATUS)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def client(kind: Any, script: Script, connect: Any) -> Iterator[Any]:
    client_of, server_of = kind
    with server_of(script) as address:
        yield connect(client_of, address, timeout=5, retries=3)


def timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("status", [429, 503, 504])
def test_a_call_is_retried_until_it_succeeds(client: Any, script: Script, status: int) -> None:
    script.play(status, status, OK)
    assert client.status("m").available == (3,)
    assert script.requests == 3


@pytest.mark.parametrize("status", [400, 403, 500])
def test_what_would_fail_again_is_not_repeated(client: Any, script: Script, status: int) -> None:
    script.play(status)
    with pytest.raises(KeraserveError, match="not now") as caught:
        client.status("m")
    assert caught.value.status_code == status
    assert script.requests == 1


def test_without_a_number_of_retries_a_call_is_retried_for_seconds(
    kind: Any, script: Script, connect: Any
) -> None:
    client_of, server_of = kind
    script.play(*[503] * 5, OK)
    with server_of(script) as address:
        assert connect(client_of, address).status("m").available == (3,)
    assert script.requests == 6


def test_it_gives_up_after_so_many_retries(client: Any, script: Script) -> None:
    script.play(503, X_Request_ID="abc")
    with pytest.raises(Unavailable) as caught:
        client.status("m")
    assert script.requests == 4
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
    assert script.requests == 1


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
    script.play(503)
    start = time.perf_counter()
    with server_of(script) as address, pytest.raises(KeraserveError):
        connect(client_of, address, timeout=0.5).status("m")
    assert time.perf_counter() - start < 10
    assert script.requests > 1


def test_without_a_server_the_connection_fails(kind: Any, connect: Any, free_address: str) -> None:
    client_of, server_of = kind
    address = f"http://{free_address}" if server_of is http_server else free_address
    client = connect(client_of, address, timeout=5, retries=1)
    with pytest.raises(
        ConnectionFailed, match=f"no server responds at {address}: connection refused"
    ) as caught:
        client.status("m")
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.status_code is None
    assert client.ready() is False


def test_a_server_that_starts_in_the_meantime_is_reached(
    kind: Any, script: Script, connect: Any, free_address: str
) -> None:
    client_of, server_of = kind
    address = f"http://{free_address}" if server_of is http_server else free_address
    with ExitStack() as stack:
        server = server_of(script, int(free_address.split(":")[1]))
        later = threading.Timer(0.3, stack.enter_context, [server])
        later.start()
        stack.callback(later.join)
        assert connect(client_of, address, timeout=10).status("m").available == (3,)
        later.join()


def test_ready_is_not_retried(client: Any, script: Script) -> None:
    script.play(503)
    assert timed(client.ready) < 0.5
    assert script.requests <= 1


@pytest.mark.parametrize("client_of", [Client, AsyncClient])
class TestHttp:
    """Faults of HTTP that gRPC does not have."""

    @pytest.fixture
    def client(self, client_of: Any, script: Script, connect: Any) -> Iterator[Any]:
        with http_server(script) as address:
            yield connect(client_of, address, timeout=5)

    def test_a_connection_closed_without_a_response_is_retried(self, client: Any, script: Script) -> None:
        script.play(lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), OK)
        assert client.status("m").available == (3,)
        assert script.requests == 2

    def test_a_bad_gateway_is_retried(self, client: Any, script: Script) -> None:
        script.play(502, OK)  # gRPC has no status of its own for that
        assert client.status("m").available == (3,)
        assert script.requests == 2

    def test_a_response_that_breaks_off_is_retried(self, client: Any, script: Script) -> None:
        script.play(
            lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), OK
        )
        assert client.status("m").available == (3,)

    def test_a_connection_that_the_server_closed_meanwhile_is_replaced(
        self, client: Any, script: Script
    ) -> None:
        script.play(lambda handler: handler.wfile.write(STATUS_REPLY))
        for _ in range(3):
            assert client.status("m").available == (3,)
            time.sleep(0.02)

    def test_a_slow_response_ends_at_the_timeout(self, client: Any, script: Script) -> None:
        def send_slowly(handler: Any) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not script.over.wait(0.05):
                handler.wfile.write(b" ")

        script.play(send_slowly)
        start = time.perf_counter()
        with pytest.raises(DeadlineExceeded):
            client.status("m", timeout=0.4)
        script.over.set()
        assert time.perf_counter() - start < 10

    def test_a_server_of_another_protocol_is_not_retried(self, client: Any, script: Script) -> None:
        script.play(lambda handler: handler.wfile.write(b"SSH-2.0-Server\r\n\r\n"))
        with pytest.raises(ConnectionFailed, match="no server responds at http") as caught:
            client.status("m")
        assert caught.value.lasting
        assert script.requests == 1

    def test_a_server_that_never_reads_a_large_body(self, client_of: Any, connect: Any, silent: str) -> None:
        client = connect(client_of, f"http://{silent}")
        start = time.perf_counter()
        with pytest.raises(DeadlineExceeded):
            client.classify("m", bytes(30_000_000), timeout=0.4)
        assert time.perf_counter() - start < 10


@pytest.mark.parametrize("client_of", [GrpcClient, AsyncGrpcClient])
def test_a_silent_grpc_server_costs_no_more_than_the_timeout(
    client_of: Any, connect: Any, silent: str
) -> None:
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
@pytest.mark.parametrize("retry_after", [None, 2.0])
def test_a_call_to_a_server_that_is_away_is_retried_until_its_time_is_up(
    away: float, retry_after: float | None
) -> None:
    """A thousand calls with a timeout of 30 s; the time is counted, not waited for."""
    if retry_after is not None and away + retry_after > 30:
        pytest.skip("the server's Retry-After is longer than the time that is left")
    error = Unavailable("", status_code=503, retry_after=retry_after)
    for _ in range(1000):
        now, attempts = 0.0, 1
        while now < away:
            pause = steps.Retry().pause(attempts - 1, error, 30 - now)
            assert pause is not None
            assert (retry_after or 0) <= pause <= (retry_after or 0) + 5
            now, attempts = now + pause, attempts + 1
        assert now < 30
        assert attempts < 60
