"""Connections of a gRPC server, found by its port among this process's open files."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from keraserve_protocol import grpc_connections
from keraserve_protocol.grpc_connections import GrpcConnections, connected, shut_down


class Listening:
    """A port of this process, and connections to it."""

    def __init__(self, stack: ExitStack, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._stack, self._host = stack, host
        self._socket = stack.enter_context(socket.create_server((host, 0), family=family))
        self.port: int = self._socket.getsockname()[1]

    def connect(self) -> tuple[socket.socket, socket.socket, str]:
        """Give both ends, the server's first, and grpcio's name of the client's."""
        client = self._stack.enter_context(socket.create_connection((self._host, self.port)))
        server = self._stack.enter_context(self._socket.accept()[0])
        own = client.getsockname()[1]
        name = f"ipv6:%5B{self._host}%5D:{own}" if ":" in self._host else f"ipv4:{self._host}:{own}"
        return server, client, name


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_connections_of_a_port_are_found(stack: ExitStack, host: str) -> None:
    here, elsewhere = Listening(stack, host), Listening(stack, host)
    stack.enter_context(socket.socket(socket.AF_UNIX))
    expected = {name: server.fileno() for server, _, name in (here.connect() for _ in range(3))}
    elsewhere.connect()
    assert connected(here.port) == expected


def test_only_the_connection_that_is_meant_is_shut_down(stack: ExitStack) -> None:
    here = Listening(stack, "127.0.0.1")
    (server, client, name), (_, other, _) = here.connect(), here.connect()
    shut_down(server.fileno(), "ipv4:127.0.0.1:1")  # the descriptor is another's by now
    shut_down(10_000, name)
    server.sendall(b"x")
    assert client.recv(2) == b"x"
    shut_down(server.fileno(), name)
    assert client.recv(1) == b""
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(1)


def test_shutting_down_what_is_no_socket_any_more_leaves_no_descriptor_open(tmp_path: Path) -> None:
    descriptors = Path("/dev/fd")
    with (tmp_path / "file").open("w") as file:
        before = len(list(descriptors.iterdir()))
        shut_down(file.fileno(), "ipv4:127.0.0.1:1")
        assert len(list(descriptors.iterdir())) == before


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(grpc_connections, "time", clock)
    return clock


def ended(clients: list[socket.socket]) -> list[int]:
    """Give the indices of the clients whose connection has been ended."""
    found: list[int] = []
    for place, client in enumerate(clients):
        client.setblocking(False)
        try:
            assert client.recv(1) == b""
            found.append(place)
        except BlockingIOError:
            pass
    return found


@pytest.mark.parametrize(
    ("most", "gone"), [(5, []), (4, [4]), (3, [1, 4]), (2, [1, 2, 4]), (1, [0, 1, 2, 4]), (0, [0, 1, 2, 4])]
)
def test_connections_without_a_call_end_first(
    stack: ExitStack, clock: Clock, most: int, gone: list[int]
) -> None:
    """Those that have had none, then those that have had none for longest; never one with a call in work."""
    here, bounded = Listening(stack, "127.0.0.1"), GrpcConnections(most, 1000, 1000)
    made = [here.connect() for _ in range(5)]
    for place, at in ((3, 100), (1, 101), (2, 102), (0, 103)):
        clock.now = at
        call = bounded.began(made[place][2])
        if place == 3:
            call.in_work = True
        else:
            call.end()
    clock.now = 110
    look = bounded.look(here.port)
    assert ended([client for _, client, _ in made]) == gone
    assert look == (5 - len(gone), len(gone), 0, False)


def test_a_response_that_is_being_read_outlasts_idle_connections(stack: ExitStack, clock: Clock) -> None:
    here, bounded = Listening(stack, "127.0.0.1"), GrpcConnections(1, 1000, 1000)
    made = [here.connect() for _ in range(2)]
    reading = bounded.began(made[0][2])
    reading.in_work = True
    clock.now = 105
    bounded.began(made[1][2]).end()
    reading.end_work()
    assert bounded.look(here.port).idle == 1
    assert ended([client for _, client, _ in made]) == [1]


WAITING = [(60, 12, []), (60, 11, [2]), (60, 7, [2]), (60, 6, [1, 2]), (5, 12, [0, 1, 2])]


@pytest.mark.parametrize(("seconds", "waiting", "gone"), WAITING)
def test_calls_that_wait_for_their_callers_are_bounded(
    stack: ExitStack, clock: Clock, seconds: float, waiting: int, gone: list[int]
) -> None:
    """In time and in number; calls in work, and calls that have just begun, do not count."""
    here, bounded = Listening(stack, "127.0.0.1"), GrpcConnections(10, seconds, waiting)
    made = [here.connect() for _ in range(5)]
    for place, calls in enumerate((3, 4, 5)):
        for _ in range(calls):
            bounded.began(made[place][2])
    for _ in range(20):
        bounded.began(made[3][2]).in_work = True
    clock.now = 110
    for _ in range(20):
        bounded.began(made[4][2])
    assert bounded.look(here.port).unread == len(gone)
    assert ended([client for _, client, _ in made]) == gone
