"""Run the server: load the models, open the ports, and drain on a signal."""

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Semaphore
from types import FrameType
from typing import Any

import grpc

from keraserve_embedded.api.address import format_address
from keraserve_embedded.api.grpc_health import HealthService
from keraserve_embedded.api.grpc_limits import CallLimits
from keraserve_embedded.api.grpc_service import handlers
from keraserve_embedded.api.message_bytes import MessageBytes
from keraserve_embedded.api.reload_config import ConfigReloader
from keraserve_embedded.api.request_pool import RequestPool
from keraserve_embedded.api.rest_app import RestApp, RestOptions
from keraserve_embedded.api.rest_server import RestServer
from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import StartError
from keraserve_embedded.observer import Observer
from keraserve_embedded.process.hosting import HostedEngine
from keraserve_embedded.process.memory_plan import IN_FLIGHT
from keraserve_embedded.process.settings import Settings
from keraserve_embedded.quiet_tensorflow import disable_xla
from keraserve_embedded.telemetry.metrics import Metrics
from keraserve_embedded.telemetry.monitoring_config import metrics_path
from keraserve_protocol.grpc_connections import most_accepted

log = logging.getLogger(__name__)

_MESSAGE_BYTES = 64 << 20  # a batch of large images; the operator's channel arguments take precedence
_WAITING_REQUESTS = 1024  # in addition to those that run; others get RESOURCE_EXHAUSTED
_RECEIVE_SECONDS = 10.0  # from a call's headers to the end of its message
_SEND_SECONDS = 30.0  # until a response is read
_CONNECTIONS = "grpc.max_allowed_incoming_connections"
_DRAIN_CHECK_SECONDS = 0.05
_IDLE_CHECKS = 10  # between two threads, gRPC may have a request or a response that is not counted


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, drain, and return; a second signal ends the process at once.

    Requests that take longer than the draining still run when this returns.

    Raises:
        StartError, ConfigError: the server can't start.
    """
    stop = threading.Event()
    metrics = Metrics() if _metrics_path(settings) else None
    if not settings.xla_cpu_compilation_enabled:
        disable_xla()
    hosted = HostedEngine(settings, metrics)
    _on_signals(stop, hosted.engine)
    server = Server(hosted.engine, settings, metrics, hosted.messages)
    if not hosted.start():
        return
    if not settings.xla_cpu_compilation_enabled:
        log.info("XLA compilation is disabled: models that need it need --xla_cpu_compilation_enabled")
    server.start()
    stop.wait()
    server.drain()


class Server:
    """The gRPC services of an engine, and its REST port where one is set."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        metrics: Metrics | None = None,
        messages: MessageBytes | None = None,
    ) -> None:
        """Prepare both.

        Args:
            engine: runs the requests.
            settings: the operator's.
            metrics: the engine's observer, served on the path of the settings.
            messages: counts the bytes of requests in flight.

        Raises:
            ConfigError: the monitoring config is wrong.
            StartError: the number of connections in the settings is no number.
        """
        self._engine = engine
        self._settings = settings
        if metrics:
            metrics.watch(engine)
        # A call occupies a thread from its headers on; as many requests run as there are slots.
        calls = settings.grpc_max_threads + _WAITING_REQUESTS
        self._pool = RequestPool(calls)
        messages = messages or MessageBytes(settings.memory.in_flight or IN_FLIGHT)
        options = dict(_options(settings.channel_arguments))
        most = options[_CONNECTIONS]
        if not isinstance(most, int):
            raise StartError(f"{_CONNECTIONS} in --grpc_channel_arguments is a number, not {most!r}")
        self._limits = CallLimits(_RECEIVE_SECONDS, _SEND_SECONDS, most)
        options[_CONNECTIONS] = most_accepted(most)
        self._grpc = grpc.server(
            self._pool,
            options=list(options.items()),
            maximum_concurrent_rpcs=calls,
        )
        folder = settings.model_config_file.absolute().parent if settings.model_config_file else Path.cwd()
        self._grpc.add_generic_rpc_handlers(
            handlers(
                engine,
                metrics or Observer(),
                ConfigReloader(engine, folder),
                self._limits,
                Semaphore(settings.grpc_max_threads),
                messages,
            )
        )
        self._health: HealthService | None = None
        if settings.enable_grpc_healthcheck_service:
            self._health = HealthService()
            self._health.add_to(self._grpc, self._limits)
        self._rest_app = _rest_app(engine, settings, metrics, messages)
        self._rest: RestServer | None = None
        self.port = 0

    @property
    def rest_port(self) -> int:
        """The REST port's number; 0 if there is none."""
        return self._rest.port if self._rest else 0

    def start(self) -> int:
        """Open the ports and serve; returns the number of gRPC's.

        Raises:
            StartError: a port can't be opened.
        """
        settings = self._settings
        self.port = self._listen()
        if settings.rest_api_port is not None:
            self._rest = RestServer(self._rest_app, settings.host, settings.rest_api_port)
        if self._health:
            self._engine.on_change = self._update_health
            self._update_health()
        self._limits.start(self.port)
        self._grpc.start()
        if self._rest:
            self._rest.start()
        return self.port

    def _listen(self) -> int:
        settings, port = self._settings, 0
        if settings.grpc_socket_path:
            self._open(f"unix:{settings.grpc_socket_path}")
            log.info("gRPC on %s", settings.grpc_socket_path)
        if settings.port is not None:
            port = self._open(format_address(settings.host, settings.port))
            log.info("gRPC on %s", format_address(settings.host, port))
        return port

    def _open(self, address: str) -> int:
        try:
            return self._grpc.add_insecure_port(address)
        except RuntimeError as error:
            raise StartError(f"can't listen on {address}: is it taken?") from error

    def drain(self) -> None:
        """Reject new requests; wait for those that run, `drain_seconds` at most."""
        began = time.monotonic()
        log.info("draining: running requests have %g s", self._settings.drain_seconds)
        self._engine.interrupt()
        if self._health:
            self._health.drain()
        self._rest_app.draining = True
        ended = self._grpc.stop(self._settings.drain_seconds)
        # The drain does not wait for open Watch calls of the health service, which never end.
        idle_checks = 0
        until = began + self._settings.drain_seconds
        while idle_checks < _IDLE_CHECKS and time.monotonic() < until:
            if ended.is_set() and self._rest_app.idle:
                break
            time.sleep(_DRAIN_CHECK_SECONDS)
            idle_checks = idle_checks + 1 if self._idle else 0
        if self._idle:
            self._grpc.stop(0).wait(1)
            log.info("drained after %.1f s", time.monotonic() - began)
        else:
            log.warning("requests that still ran after %g s are cut off", self._settings.drain_seconds)
        self._limits.stop()
        if self._rest:
            self._rest.stop()

    @property
    def _idle(self) -> bool:
        return self._pool.idle and self._rest_app.idle

    def _update_health(self) -> None:
        assert self._health is not None  # noqa: S101 - only called with one
        self._health.set(serving=self._engine.ready())


def _on_signals(stop: threading.Event, engine: Engine) -> None:
    def handle(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        engine.interrupt()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _rest_app(engine: Engine, settings: Settings, metrics: Metrics | None, messages: MessageBytes) -> RestApp:
    path = _metrics_path(settings) if metrics else ""
    options = RestOptions(settings.rest_seconds, path, _WAITING_REQUESTS)
    return RestApp(engine, metrics, RequestPool(settings.rest_api_num_threads), options, messages)


def _metrics_path(settings: Settings) -> str:
    """Return the path of the metrics; "" for none, and then nothing is counted."""
    file = settings.monitoring_config_file
    if file and settings.rest_api_port is None:
        log.warning("metrics are served on the REST port: --monitoring_config_file needs --rest_api_port")
        return ""
    return metrics_path(file) if file else ""


def _options(given: Sequence[tuple[str, int | str]]) -> list[tuple[str, Any]]:
    ours: dict[str, Any] = {
        # Close a connection that sends nothing, is idle, or whose client is gone.
        "grpc.server_handshake_timeout_ms": 10_000,
        "grpc.max_connection_idle_ms": 600_000,
        "grpc.keepalive_time_ms": 60_000,
        "grpc.keepalive_timeout_ms": 20_000,
        # An additional one replaces an idle one.
        _CONNECTIONS: 400,
        "grpc.so_reuseport": 0,
        "grpc.max_receive_message_length": _MESSAGE_BYTES,
        "grpc.max_send_message_length": _MESSAGE_BYTES,
    }
    return list({**ours, **dict(given)}.items())
