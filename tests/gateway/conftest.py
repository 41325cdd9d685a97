"""The gateway's tests stand on the real embedded server; faults come from a gRPC server made for them."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx2
import pytest
from free_ports import free_port as find_free_port

from keraserve_gateway import watched_file
from keraserve_gateway.http.app import create_app
from keraserve_gateway.settings import Settings
from keraserve_gateway.upstream.model_server import GrpcModelServer
from keraserve_protocol import messages, model_config, services

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("KERASERVE_")}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ) - set(ENVIRONMENT):
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _files_are_looked_at_in_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests write a file and ask at once."""
    monkeypatch.setattr(watched_file, "LOOK_SECONDS", 0)


@pytest.fixture
def free_port() -> Callable[[], int]:
    return find_free_port


@pytest.fixture(scope="session")
def embedded(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real `keraserve-embedded` that serves `colours`."""
    with _serving(models / "models.config", tmp_path_factory.mktemp("embedded") / "log") as address:
        yield address


@contextmanager
def _serving(config: Path, log: Path, *flags: str) -> Iterator[str]:
    """Run `keraserve-embedded` until the last model of `config` is available; gives its address."""
    port = find_free_port()
    command = [str(Path(sys.executable).with_name("keraserve-embedded")), f"--port={port}", *flags]
    command.append(f"--model_config_file={config}")
    quiet = {**ENVIRONMENT, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=quiet)
    try:
        last = model_config.read(config).model_config_list.config[-1].name
        _wait_until_served(f"127.0.0.1:{port}", last, process, log)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_served(address: str, model: str, process: subprocess.Popen[bytes], log: Path) -> None:
    request = messages.GetModelStatusRequest(model_spec=messages.model_spec(model))
    until = time.monotonic() + 300  # a busy machine imports TensorFlow slowly
    with grpc.insecure_channel(address) as channel:
        while time.monotonic() < until and process.poll() is None:
            try:
                response = services.Stub(channel).get_model_status(request, timeout=2, wait_for_ready=True)
            except grpc.RpcError:
                time.sleep(0.1)
                continue
            if any(one.state == one.AVAILABLE for one in response.model_version_status):
                return
            time.sleep(0.1)
    pytest.fail(f"the embedded server did not come up:\n{log.read_text()[-2000:]}")


@dataclass(frozen=True)
class Stack:
    """A real gateway process before a real model server: where their ports are."""

    http: str
    grpc: str
    model_server: str


@pytest.fixture(scope="session")
def stack(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Gateway and model server as compose starts them, with `documented_models` and `colours`."""
    folder = tmp_path_factory.mktemp("stack")
    program = Path(__file__).parents[1] / "documented_models.py"
    subprocess.run([sys.executable, str(program), str(folder)], check=True, capture_output=True, timeout=300)
    (folder / "colours").symlink_to(models / "colours")
    config = messages.ModelServerConfig()
    for name in ("half_plus_two", "half_plus_three", "every_type", "colours"):
        model = config.model_config_list.config.add(name=name, base_path=str(folder / name))
        model.model_platform = "tensorflow"
        model.version_labels["stable"] = 123 if name.startswith("half") else 1
    (folder / "models.config").write_text(model_config.render(config))
    flags = ("--enable_serialization_as_tensor_content",)
    with _serving(folder / "models.config", folder / "embedded.log", *flags) as address:
        found = Stack(f"127.0.0.1:{find_free_port()}", f"127.0.0.1:{find_free_port()}", address)
        command = [str(Path(sys.executable).with_name("keraserve-gateway")), f"--model-server={address}"]
        command += [f"--model-config-file={folder / 'models.config'}", f"--port={found.http.split(':')[1]}"]
        command += [f"--grpc-port={found.grpc.split(':')[1]}"]
        with (folder / "gateway.log").open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=ENVIRONMENT)
        try:
            with grpc.insecure_channel(found.grpc) as channel:
                grpc.channel_ready_future(channel).result(60)
            yield found
        finally:
            process.terminate()
            process.wait(30)


Make = Callable[..., Awaitable[httpx2.AsyncClient]]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Make a gateway in this process and a client for it: `await make(address, setting=…)`."""
    async with AsyncExitStack() as stack:

        async def make_one(address: str, tracing: Any = None, **given: Any) -> httpx2.AsyncClient:
            settings = Settings(model_server=address, **{"models": "colours", **given})
            server = GrpcModelServer(address, settings.max_merged)
            stack.push_async_callback(server.close)
            app = create_app(settings, server, tracing)
            transport = httpx2.ASGITransport(app, raise_app_exceptions=True)
            client = httpx2.AsyncClient(transport=transport, base_url="http://gateway")
            client.app = app  # type: ignore[attr-defined]
            return await stack.enter_async_context(client)

        yield make_one


@pytest.fixture
async def gateway(make: Make, embedded: str, models: Path) -> httpx2.AsyncClient:
    """A client of a gateway in front of the embedded server, with its models.config."""
    return await make(embedded, models=(), model_config_file=models / "models.config")


Serve = Callable[..., Awaitable[str]]


@pytest.fixture
async def serve_faults() -> AsyncIterator[Serve]:
    """Start a gRPC server with the given handlers: `await serve_faults({services.CLASSIFY: function})`."""
    async with AsyncExitStack() as stack:

        async def start(implementations: dict[services.Call[Any, Any], Any], raw: Any = ()) -> str:
            server = grpc.aio.server()
            server.add_generic_rpc_handlers((*services.handlers(implementations), *raw))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            stack.push_async_callback(server.stop, 0)
            return f"127.0.0.1:{port}"

        yield start


@pytest.fixture
async def slow_status(serve_faults: Serve) -> tuple[str, asyncio.Event, asyncio.Event]:
    """A server whose first GetModelStatus waits: its address, and the events that it came and may go on."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def status(request: Any, context: Any) -> messages.GetModelStatusResponse:
        if not arrived.is_set():
            arrived.set()
            await go.wait()
        response = messages.GetModelStatusResponse()
        response.model_version_status.add(version=1, state=30)
        return response

    return await serve_faults({services.GET_MODEL_STATUS: status}), arrived, go


@pytest.fixture
def start_gateway(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], Path]]]:
    """Start the real command; gives the process and its log."""
    started: list[subprocess.Popen[str]] = []

    def start(*flags: str) -> tuple[subprocess.Popen[str], Path]:
        log = tmp_path / f"gateway-{len(started)}.log"
        command = [str(Path(sys.executable).with_name("keraserve-gateway")), *flags]
        with log.open("w") as out:
            started.append(subprocess.Popen(command, stdout=out, stderr=out, env=ENVIRONMENT, text=True))
        return started[-1], log

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(10)
