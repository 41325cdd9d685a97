"""The process: loads the models, opens the port, and drains when it is told to stop."""

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

import grpc

from keraserve_embedded import memory
from keraserve_embedded.config_file import ConfigFile
from keraserve_embedded.engine import Engine, EngineOptions
from keraserve_embedded.errors import StartError
from keraserve_embedded.grpc_face import CountingPool, handlers
from keraserve_embedded.health import Health
from keraserve_embedded.model_list import single_model
from keraserve_embedded.periodic import Periodic
from keraserve_embedded.port import written
from keraserve_embedded.quiet_tensorflow import set_threads
from keraserve_embedded.settings import Settings

log = logging.getLogger(__name__)

_MESSAGE_BYTES = 64 << 20  # a batch of large pictures; the operator's channel arguments win
_WAITING_REQUESTS = 1024  # beyond those that run; more get RESOURCE_EXHAUSTED at once
_DRAIN_LOOK_SECONDS = 0.1


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, drain, and return; a second signal ends the process at once.

    Requests that outlast the draining still run when this returns.

    Raises:
        StartError, ConfigError: the server can't start.
    """
    stop = threading.Event()
    set_threads(settings.intra_op_threads, settings.inter_op_threads)
    memory.spare_from_collection()
    engine = Engine(
        EngineOptions(
            poll_seconds=settings.file_system_poll_wait_seconds,
            early_labels=settings.allow_version_labels_for_unavailable_models,
            as_content=settings.enable_serialization_as_tensor_content,
        )
    )
    _on_signals(stop, engine)
    config = ConfigFile(settings.model_config_file) if settings.model_config_file else None
    entries = config.read() if config else single_model(settings.model_name, settings.model_base_path)
    if not engine.start(entries):
        return
    poll = settings.model_config_file_poll_wait_seconds
    if config and poll:
        Periodic("model config watch", poll, lambda: config.poll(engine.configure)).start()
    server = Server(engine, settings)
    server.start()
    stop.wait()
    server.drain()


class Server:
    """The gRPC server of an engine that has started."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._pool = CountingPool(settings.grpc_max_threads)
        self._grpc = grpc.server(
            self._pool,
            options=_options(settings.channel_arguments),
            maximum_concurrent_rpcs=settings.grpc_max_threads + _WAITING_REQUESTS,
        )
        self._grpc.add_generic_rpc_handlers(handlers(engine))
        self._health: Health | None = None
        if settings.enable_grpc_healthcheck_service:
            self._health = Health()
            self._health.add_to(self._grpc)
        self.port = 0

    def start(self) -> int:
        """Open the port and answer; give the port's number.

        Raises:
            StartError: the port can't be opened.
        """
        address = written(self._settings.host, self._settings.port)
        try:
            self.port = self._grpc.add_insecure_port(address)
        except RuntimeError as error:
            raise StartError(f"can't listen on {address}: is the port taken?") from error
        if self._health:
            self._engine.on_change = self._tell_health
            self._tell_health()
        self._grpc.start()
        log.info("gRPC on %s", written(self._settings.host, self.port))
        return self.port

    def drain(self) -> None:
        """Refuse new requests with UNAVAILABLE; wait for those that run, `drain_seconds` at most."""
        began = time.monotonic()
        log.info("draining: running requests have %g s", self._settings.drain_seconds)
        self._engine.interrupt()
        if self._health:
            self._health.drain()
        ended = self._grpc.stop(self._settings.drain_seconds)
        # Watchers of the health would keep the server for the whole time: they are not waited for.
        quiet = 0
        while not ended.wait(_DRAIN_LOOK_SECONDS) and quiet < 2:
            quiet = quiet + 1 if self._pool.idle else 0
        if self._pool.idle:
            self._grpc.stop(0).wait(1)
            log.info("drained after %.1f s", time.monotonic() - began)
        else:
            log.warning("requests that still ran after %g s are cut off", self._settings.drain_seconds)

    def _tell_health(self) -> None:
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


def _options(given: Sequence[tuple[str, int | str]]) -> list[tuple[str, Any]]:
    ours: dict[str, Any] = {
        "grpc.so_reuseport": 0,
        "grpc.max_receive_message_length": _MESSAGE_BYTES,
        "grpc.max_send_message_length": _MESSAGE_BYTES,
    }
    return list({**ours, **dict(given)}.items())
