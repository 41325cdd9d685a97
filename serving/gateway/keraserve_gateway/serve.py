"""The gateway's process: both ports, signals, draining."""

import asyncio
import contextlib
import errno
import gc
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Generator

import structlog
import uvicorn
from fastapi import FastAPI

from keraserve_gateway import memory_budget
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.grpc_api.server import GrpcServer
from keraserve_gateway.http.app import create_app, gateway_of
from keraserve_gateway.http.server import open_connections
from keraserve_gateway.http.server.connection import ConnectionLimits, connection_class
from keraserve_gateway.http.server.rejection import OverloadRejection
from keraserve_gateway.settings import IN_PROCESS, Settings
from keraserve_gateway.telemetry.tracing import from_environment
from keraserve_gateway.upstream.model_server import GrpcModelServer, ModelServer, ModelsUnavailable
from keraserve_protocol import model_config
from keraserve_protocol.memory_limit import limit_of_memory

log = structlog.get_logger()

# Seconds for which a thread keeps Python's lock, for a large body, while the event loop waits for it.
_SWITCH_INTERVAL = 0.001
_MEASURE_SECONDS = 1.0
_Load = Callable[[], Awaitable[None]]


class PortUnavailable(Exception):  # noqa: N818 (a sentence for the operator)
    """A port that can't be listened on; the message says what to do."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to `serve`: uvicorn would stop listening at once, and exit by the signal."""
        yield


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        PortUnavailable: a port is in use, or the address is not one of this machine.
        ModelsUnavailable: models in this process can't be loaded, or the list of models can't be parsed.
        MemoryExceeded: the bodies that the settings allow need more memory than there is.
    """
    planned = memory_budget.plan(settings, limit_of_memory() // settings.one_of)
    if planned.reason is not None:
        log.warning("less than the default fits into memory", reason=planned.reason)
    _check_models(settings)
    if settings.grpc_port:  # tried first: gRPC itself would only say that it failed
        listen(settings.host, settings.grpc_port, "grpc_port", shared=settings.one_of > 1).close()
    listening = listen(settings.host, settings.port, "port", shared=settings.one_of > 1)
    model_server, load = _model_server(settings)
    tracing = from_environment()
    app = create_app(settings, model_server, tracing)
    gateway = gateway_of(app)
    _spare_from_collection()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    try:
        grpc_server = await _start_grpc(settings, gateway)
        server = _http(settings, app)
        stop = _on_signal(settings.one_of)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        _announce(settings, listening)
        stopping = asyncio.create_task(stop.wait())
        loading = asyncio.create_task(_load_in_background(load))
        measuring = asyncio.create_task(_measure(gateway))
        await asyncio.wait({serving, stopping, loading}, return_when=asyncio.FIRST_COMPLETED)
        await _stop(gateway, server, grpc_server)
        await serving
        measuring.cancel()
        if loading.done():
            loading.result()
    finally:
        await model_server.close()
        if tracing is not None:
            await asyncio.to_thread(tracing.close)


def _check_models(settings: Settings) -> None:
    """Reject a model_config_file that can't be parsed; one that does not exist yet may still come."""
    file = settings.model_config_file
    if file is None or not file.exists():
        return
    try:
        model_config.read(file)
    except model_config.ModelConfigError as error:
        raise ModelsUnavailable(str(error)) from error


def _spare_from_collection() -> None:
    """Exclude modules and routes, which are never freed, from garbage collection.

    It took a tenth of each request. Collections also begin later, as requests leave no reference cycles.
    """
    gc.freeze()
    gc.set_threshold(10_000)


def _http(settings: Settings, app: FastAPI) -> _Server:
    limits = ConnectionLimits(
        head_bytes=settings.max_header_bytes,
        head_seconds=settings.header_seconds,
        rest_seconds=settings.deadline_seconds,
        unread_seconds=settings.unread_seconds,
        connections=settings.max_connections,
    )
    gateway = gateway_of(app)
    config = uvicorn.Config(
        app,
        http=connection_class(limits, OverloadRejection(gateway).rejection, gateway.metrics),
        timeout_keep_alive=settings.idle_seconds,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the client's address is the connection's
        timeout_graceful_shutdown=1,  # after the drain, which has waited long enough
    )
    return _Server(config)


def _model_server(settings: Settings) -> tuple[ModelServer, _Load | None]:
    """Make the model server's object, and the function that loads its models if they are in this process."""
    if settings.model_server != IN_PROCESS:
        return GrpcModelServer(settings.model_server, settings.max_merged), None
    try:
        from keraserve_gateway.upstream.in_process import InProcessModelServer
    except ModuleNotFoundError as error:
        raise ModelsUnavailable(
            f"model_server is {IN_PROCESS}, and {error.name} is not installed: "
            "pip install keraserve-gateway[embedded]"
        ) from error
    server = InProcessModelServer(settings)
    return server, server.start


async def _load_in_background(load: _Load | None) -> None:
    """Load the models; end only by an exception, never after success."""
    if load is not None:
        await load()
    await asyncio.Event().wait()


async def _measure(gateway: Gateway) -> None:
    """Keep the gauges that other processes show."""
    while gateway.settings.one_of > 1:
        gateway.measure()
        await asyncio.sleep(_MEASURE_SECONDS)


async def _stop(gateway: Gateway, server: _Server, grpc_server: GrpcServer | None) -> None:
    log.info("draining", in_flight=gateway.admission.in_flight)
    seconds = gateway.settings.drain_seconds
    until = time.monotonic() + seconds
    drained = await gateway.admission.drain(seconds)
    if not drained:
        log.warning("drain_seconds are over", in_flight=gateway.admission.in_flight)
    if grpc_server is not None:
        await grpc_server.stop(grace=0.5 if drained else 0)
    await open_connections.finish(server.server_state.connections, until - time.monotonic())
    server.should_exit = True
    log.info("stopped")


async def _start_grpc(settings: Settings, gateway: Gateway) -> GrpcServer | None:
    if not settings.grpc_port:
        return None
    address = _joined(settings.host, settings.grpc_port)
    try:
        grpc_server = GrpcServer(address, gateway)
    except RuntimeError as error:
        raise PortUnavailable(f"can't listen on {address}: {error}") from error
    await grpc_server.start()
    return grpc_server


def listen(host: str, port: int, setting: str, *, shared: bool = False) -> socket.socket:
    """Listen on a port, which other processes may listen on, too, if it is `shared`.

    Raises:
        PortUnavailable: it is in use, or the address is not one of this machine; names the setting's flag.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048, reuse_port=shared)
    except OSError as error:
        flag = f"--{setting.replace('_', '-')}"
        if error.errno == errno.EADDRINUSE:
            raise PortUnavailable(
                f"port {port} on {host} is in use by another program; choose another with {flag}"
            ) from error
        raise PortUnavailable(f"can't listen on {_joined(host, port)}: {error.strerror or error}") from error


def _on_signal(one_of: int) -> asyncio.Event:
    """Set the event at the first SIGTERM or SIGINT; the second ends the process at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def alone() -> None:
        loop.remove_reader(sys.stdin)
        stop.set()

    if one_of > 1:  # it ends with the process that `workers` is in
        loop.add_reader(sys.stdin, alone)

    def first() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, first)
    return stop


def _announce(settings: Settings, listening: socket.socket) -> None:
    if not settings.on_loopback and settings.keys_file is None:
        log.warning(
            "LISTENING BEYOND THIS MACHINE WITHOUT KEYS: whoever reaches this address can use every model",
            host=settings.host,
        )
    log.info(
        "listening",
        http=_joined(settings.host, listening.getsockname()[1]),
        grpc=_joined(settings.host, settings.grpc_port) if settings.grpc_port else "off",
        model_server=settings.model_server,
    )


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
