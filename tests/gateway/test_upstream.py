"""Model servers that are killed, restarted, or several: real processes and connections."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import structlog

from keraserve_gateway.grpc_target import grpc_target
from keraserve_gateway.settings import Settings
from keraserve_gateway.upstream import connection, hang_detection
from keraserve_gateway.upstream.model_cards import ASK_SECONDS

PROGRAM = Path(__file__).with_name("server_to_kill.py")
PATH = "/v1/models/colours"

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def requested(tmp_path: Path) -> Path:
    """The file into which the servers write the names of requested models."""
    path = tmp_path / "requested"
    path.touch()
    return path


@pytest.fixture
def start(requested: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def one(port: int, version: int = 1) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(PROGRAM), str(port), str(version), str(requested)]
        started.append(subprocess.Popen(command))
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.wait(10)


async def until_requested(requested: Path, times: int) -> None:
    async with asyncio.timeout(30):
        while len(requested.read_text().split()) < times:
            await asyncio.sleep(0.02)


async def until_down(gateway: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while "keraserve_gateway_model_server_up 1.0" in (await gateway.get("/metrics")).text:
            await asyncio.sleep(0.01)


async def until_served(gateway: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while (await gateway.get(PATH)).status_code != 200:
            await asyncio.sleep(0.05)


@pytest.mark.shows("restarting: requests wait up")
async def test_requests_wait_for_a_server_that_restarts(make, start, free_port, monkeypatch) -> None:
    monkeypatch.setattr(connection, "WAIT_SECONDS", 30.0)
    port = free_port()
    gateway = await make(f"127.0.0.1:{port}")
    for version in (1, 2, 3):
        process = start(port, version)
        for _ in range(3):
            response = await gateway.get(PATH)
            assert response.status_code == 200, response.text
            assert response.json()["model_version_status"][0]["version"] == str(version)
        process.kill()
        await until_down(gateway)


@pytest.mark.shows("what was lost with", "model server unavailable")
async def test_a_call_that_may_have_run_is_not_sent_again(
    make, start, free_port, requested, monkeypatch
) -> None:
    monkeypatch.setattr(connection, "WAIT_SECONDS", 30.0)
    port = free_port()
    gateway = await make(f"127.0.0.1:{port}")
    process = start(port)
    in_flight = asyncio.create_task(gateway.get("/v1/models/slow"))
    await until_requested(requested, 1)
    with structlog.testing.capture_logs() as logged:
        process.kill()
        assert (await in_flight).status_code == 503
    (lost,) = [line for line in logged if line["event"] == "model server unavailable"]
    assert (lost["code"], bool(lost["detail"])) == ("UNAVAILABLE", True)
    start(port)
    assert (await gateway.get(PATH)).status_code == 200
    assert requested.read_text().split() == ["slow", "colours"]


@pytest.mark.shows("a call that found")
@pytest.mark.parametrize("comes_back", [True, False])
async def test_a_call_that_was_never_sent_is_sent_once_more(
    make, start, free_port, requested, monkeypatch, *, comes_back: bool
) -> None:
    """The connection is lost between the check for it and the call."""
    port, real, looked = free_port(), connection.Connection.ready, list[float]()

    async def ready(self: connection.Connection, timeout: float) -> None:
        if timeout > ASK_SECONDS:  # a shorter one is that of a model card
            looked.append(timeout)
        if len(looked) > 1 and comes_back:
            start(port)
            await real(self, timeout)

    monkeypatch.setattr(connection, "WAIT_SECONDS", 30.0)
    monkeypatch.setattr(connection.Connection, "ready", ready)
    response = await (await make(f"127.0.0.1:{port}")).get(PATH)
    assert response.status_code == (200 if comes_back else 503)
    assert len(looked) == 2
    assert requested.read_text().split() == ["colours"] * comes_back


@pytest.mark.shows("away for longer: 503", "keraserve_gateway_model_server_up")
async def test_requests_fail_at_once_while_a_server_stays_unavailable(make, start, free_port) -> None:
    port = free_port()
    gateway = await make(f"127.0.0.1:{port}", deadline_seconds=30)
    async with asyncio.timeout(60):  # waiting for its deadline, each would take 30 seconds
        responses = [await gateway.get(PATH) for _ in range(100)]
    assert {response.status_code for response in responses} == {503}
    assert {response.headers["retry-after"] for response in responses} == {"2"}
    assert "keraserve_gateway_model_server_up 0.0" in (await gateway.get("/metrics")).text
    start(port)
    await until_served(gateway)
    assert "keraserve_gateway_model_server_up 1.0" in (await gateway.get("/metrics")).text


@pytest.mark.shows("connected, and not responding")
@pytest.mark.parametrize("given_up", ["by its deadline", "by its caller"])
async def test_requests_fail_at_once_while_a_server_hangs(
    make, start, free_port, monkeypatch, given_up: str
) -> None:
    monkeypatch.setattr(hang_detection, "PROBE_SECONDS", 0.5)
    port = free_port()
    gateway = await make(f"127.0.0.1:{port}", deadline_seconds=30)
    process = start(port)
    await until_served(gateway)
    process.send_signal(signal.SIGSTOP)  # connected, and does not respond
    if given_up == "by its deadline":
        assert (await gateway.get(PATH, headers={"x-request-timeout": "0.3"})).status_code == 504
    else:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gateway.get(PATH), 0.3)
    await until_down(gateway)
    async with asyncio.timeout(60):  # waiting for its deadline, each would take 30 seconds
        responses = [await gateway.get(PATH) for _ in range(100)]
    assert {response.status_code for response in responses} == {503}
    assert {response.headers["retry-after"] for response in responses} == {"2"}
    assert "does not respond" in responses[0].json()["error"]
    assert (await gateway.get("/readyz")).json()["reasons"] == ["the model server does not respond"]
    process.send_signal(signal.SIGCONT)
    await until_served(gateway)


@pytest.mark.shows("a slow model, whatever")
async def test_a_slow_model_is_not_taken_for_a_hanging_server(make, start, free_port, requested) -> None:
    port = free_port()
    gateway = await make(f"127.0.0.1:{port}", max_in_flight=8)
    start(port)
    await until_served(gateway)
    hurried = {"x-request-timeout": "0.05"}
    for _ in range(20):
        several = [gateway.get("/v1/models/slow", headers=hurried) for _ in range(8)]
        assert {response.status_code for response in await asyncio.gather(*several)} == {504}
    assert (await gateway.get(PATH)).status_code == 200
    assert 1 <= requested.read_text().splitlines().count("") <= 20


@pytest.mark.shows("KERASERVE_MODEL_SERVER", "several: in turn; one")
async def test_calls_go_to_several_servers_in_turn_and_one_may_end(make, start, free_port) -> None:
    ports = [free_port() for _ in range(3)]
    processes = [start(port, version) for version, port in enumerate(ports, 1)]
    gateway = await make(",".join(f"127.0.0.1:{port}" for port in ports))

    async def versions(calls: int) -> list[str]:
        responses = [await gateway.get(PATH) for _ in range(calls)]
        return [
            one.json()["model_version_status"][0]["version"] for one in responses if one.status_code == 200
        ]

    async with asyncio.timeout(30):
        while set(await versions(9)) != {"1", "2", "3"}:
            await asyncio.sleep(0.05)
    found = await versions(30)
    assert {found.count(version) for version in ("1", "2", "3")} == {10}
    processes[1].kill()
    processes[1].wait(10)
    async with asyncio.timeout(30):
        while len(await versions(1)) == 0:  # a running call may fail
            await asyncio.sleep(0.05)
    found = await versions(30)
    assert len(found) >= 29
    assert {"1", "3"} <= set(found)


@pytest.mark.shows("KERASERVE_MODEL_SERVER")
@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        ("model-server:8500", "model-server:8500"),
        ("dns:///models:8500", "dns:///models:8500"),
        ("10.0.0.1:1, 10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ("[::1]:1,[::2]:2", "ipv6:[::1]:1,[::2]:2"),
        ("ipv4:10.0.0.1:1,10.0.0.2:2", "ipv4:10.0.0.1:1,10.0.0.2:2"),
    ],
)
def test_addresses_become_a_grpc_target(addresses: str, target: str) -> None:
    assert grpc_target(addresses) == target
    assert Settings(model_server=addresses).model_server == addresses


@pytest.mark.parametrize("addresses", ["a:1,b:2", "10.0.0.1:1,[::1]:2", "10.0.0.1:1,"])
def test_invalid_addresses(addresses: str) -> None:
    with pytest.raises(ValueError, match="IP addresses"):
        Settings(model_server=addresses)
