"""The servers that the clients are tested against, and clients of all four classes that are called alike."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from free_ports import free_port, free_ports
from scripted_servers import grpc_server, http_server

from keraserve_client import AsyncClient, AsyncGrpcClient, Client, GrpcClient

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Pair:
    """The addresses of a gateway and its model server."""

    url: str
    gateway_grpc: str
    model_server: str


def start(log: Path, program: str, *flags: str, **settings: str) -> subprocess.Popen[bytes]:
    command = Path(sys.executable).with_name(program)
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(command), *flags],
            env={**os.environ, **QUIET, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def until(true: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        if process.poll() is not None or time.monotonic() > end:
            pytest.fail(f"{process.args} is not ready; it printed:\n{log.read_text()[-3000:]}")
        time.sleep(0.05)


@contextlib.contextmanager
def gateway(folder: Path, model_server: str, config: Path, **settings: str) -> Iterator[tuple[str, str]]:
    """Run a gateway until it is ready; yields its URL and its target for gRPC."""
    http_port, grpc_port = free_ports(2)
    url, log = f"http://127.0.0.1:{http_port}", folder / "gateway.log"
    process = start(
        log,
        "keraserve-gateway",
        KERASERVE_MODEL_SERVER=model_server,
        KERASERVE_MODEL_CONFIG_FILE=str(config),
        KERASERVE_PORT=str(http_port),
        KERASERVE_GRPC_PORT=str(grpc_port),
        **settings,
    )
    try:
        with Client(url) as client:
            until(lambda: client.ready(timeout=2), process, log, 60)
        yield url, f"127.0.0.1:{grpc_port}"
    finally:
        process.terminate()
        process.wait(30)


@contextlib.contextmanager
def serving(config: Path, model: str, folder: Path) -> Iterator[Pair]:
    """Run the embedded server and a gateway for it, until `model` is available."""
    port, log = free_port(), folder / "embedded.log"
    server = start(
        log,
        "keraserve-embedded",
        f"--port={port}",
        f"--model_config_file={config}",
        "--enable_serialization_as_tensor_content=true",
    )
    try:
        with GrpcClient(f"127.0.0.1:{port}") as client:
            until(lambda: loaded(client, model), server, log, 150)
        with gateway(folder, f"127.0.0.1:{port}", config) as (url, grpc_target):
            yield Pair(url, grpc_target, f"127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="session")
def pair(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The embedded server and its gateway, with the model `colours`."""
    with serving(models / "models.config", "colours", tmp_path_factory.mktemp("servers")) as pair:
        yield pair


@pytest.fixture(scope="module")
def echoing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The same with the model `echo`, whose signatures return their inputs (echo_models.py)."""
    folder = tmp_path_factory.mktemp("echoing")
    program = [sys.executable, str(Path(__file__).with_name("echo_models.py")), str(folder / "echo")]
    subprocess.run(program, check=True, env={**os.environ, **QUIET}, capture_output=True, timeout=300)
    echo = f'name: "echo" base_path: "{folder / "echo"}" model_platform: "tensorflow"'
    (folder / "models.config").write_text(f"model_config_list {{ config {{ {echo} }} }}")
    with serving(folder / "models.config", "echo", folder) as pair:
        yield pair


@dataclass(frozen=True)
class Keyed:
    """A gateway with API keys, and a key for the model `colours`."""

    url: str
    grpc: str
    key: str


@pytest.fixture(scope="session")
def keyed(pair: Pair, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """A second gateway for the same model server, with an API key."""
    folder = tmp_path_factory.mktemp("keyed")
    program = str(Path(sys.executable).with_name("keraserve-gateway"))
    command = [program, "key", "tests", "--models", "colours"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    (folder / "keys.toml").write_text(made.stdout)
    config, keys = models / "models.config", str(folder / "keys.toml")
    with gateway(folder, pair.model_server, config, KERASERVE_KEYS_FILE=keys) as (url, grpc_target):
        yield Keyed(url, grpc_target, made.stderr.split()[-1])


def loaded(client: GrpcClient, model: str) -> bool:
    try:
        return bool(client.status(model, timeout=2).available)
    except Exception:
        return False


class Loop:
    """An event loop in a thread, so that a test can call async clients like sync ones."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Called:
    """An async client whose calls wait for their results."""

    def __init__(self, client: Any, loop: Loop) -> None:
        self.client, self.loop = client, loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        return lambda *args, **kwargs: self.loop.run(method(*args, **kwargs))


@pytest.fixture(scope="module")
def connect() -> Iterator[Callable[..., Any]]:
    """Make clients of any class that are called like sync ones, and are closed at the end."""
    with contextlib.ExitStack() as stack:
        loop = Loop()
        stack.callback(loop.close)

        def make(kind: type, address: str, **settings: Any) -> Any:
            made = kind(address, **settings)
            client = made if hasattr(made, "__enter__") else Called(made, loop)
            stack.callback(client.close)
            return client

        yield make


# The four clients; those over gRPC connect to the gateway, and to the model server.
REAL_SERVERS = {
    "http": (Client, "url"),
    "async-http": (AsyncClient, "url"),
    "gateway-grpc": (GrpcClient, "gateway_grpc"),
    "async-gateway-grpc": (AsyncGrpcClient, "gateway_grpc"),
    "server-grpc": (GrpcClient, "model_server"),
    "async-server-grpc": (AsyncGrpcClient, "model_server"),
}


@pytest.fixture(scope="module", params=REAL_SERVERS)
def client(request: pytest.FixtureRequest, pair: Pair, connect: Callable[..., Any]) -> Any:
    """Each of the clients in turn, connected to the real servers."""
    kind, address = REAL_SERVERS[request.param]
    return connect(kind, getattr(pair, address))


SCRIPTED_SERVERS = {
    "http": (Client, http_server),
    "async-http": (AsyncClient, http_server),
    "grpc": (GrpcClient, grpc_server),
    "async-grpc": (AsyncGrpcClient, grpc_server),
}


@pytest.fixture(params=SCRIPTED_SERVERS)
def kind(request: pytest.FixtureRequest) -> Any:
    """Each class of clients in turn, and a server that a test tells what to do."""
    return SCRIPTED_SERVERS[request.param]


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that accepts connections and never sends anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def free_address() -> str:
    """An address without a server."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="session", autouse=True)
def grpc_is_loaded() -> None:
    """Start gRPC's threads before a test that measures milliseconds."""
    grpc.insecure_channel("127.0.0.1:1").close()
