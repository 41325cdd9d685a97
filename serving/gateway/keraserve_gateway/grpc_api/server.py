"""The gRPC port's server, with limits on its connections and on how long each may be idle."""

import asyncio
import time
from typing import Any, cast

import grpc.aio
import structlog

from keraserve_gateway.gateway import Gateway
from keraserve_gateway.grpc_api.passthrough import PassThrough
from keraserve_gateway.telemetry.metrics import Metrics
from keraserve_gateway.upstream.connection import MAX_MESSAGE_BYTES
from keraserve_protocol.grpc_connections import LOOK_SECONDS, GrpcConnections, Look, most_accepted

log = structlog.get_logger()

_CALLS_OF_A_CONNECTION = 128
_MOST_CALLS = 32 * _CALLS_OF_A_CONNECTION
_LOG_SECONDS = 10.0  # between two log lines about connections of the same kind
_PAUSE = 20  # times what the last look took, at least

OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", _CALLS_OF_A_CONNECTION),
    # A client that acknowledges no ping has left or reads nothing; one that pings more often is cut off.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    # Clients connect again, and so spread over several gateways behind one name.
    ("grpc.max_connection_age_ms", 10 * 60_000),
]


class GrpcServer:
    """grpcio's server, and a task that ends its idle and unread connections.

    Attributes:
        port: the port on which it listens.
    """

    def __init__(self, address: str, gateway: Gateway) -> None:
        """Open the port; the limit on messages is that on HTTP bodies.

        Raises:
            RuntimeError: the address can't be listened on.
        """
        settings = gateway.settings
        limits = [
            ("grpc.so_reuseport", int(settings.one_of > 1)),  # else a port in use is an error
            ("grpc.max_receive_message_length", settings.max_body_bytes),
            ("grpc.max_allowed_incoming_connections", most_accepted(settings.max_connections)),
            ("grpc.server_handshake_timeout_ms", int(settings.header_seconds * 1000)),
            ("grpc.max_connection_idle_ms", settings.idle_seconds * 1000),
            ("grpc.max_connection_age_grace_ms", int(settings.deadline_seconds * 1000)),
        ]
        call_seconds = settings.deadline_seconds + settings.unread_seconds
        self._connections = GrpcConnections(settings.max_connections, call_seconds, _MOST_CALLS // 2)
        self._report = _Report(gateway.metrics)
        made: Any = cast(Any, grpc.aio).server
        server: Any = made(options=[*OPTIONS, *limits], maximum_concurrent_rpcs=_MOST_CALLS)
        server.add_generic_rpc_handlers((PassThrough(gateway, self._connections),))
        self.port: int = server.add_insecure_port(address)
        self._server: grpc.aio.Server = server
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to handle calls."""
        await self._server.start()
        self._looking = asyncio.create_task(self._look())

    async def stop(self, grace: float) -> None:
        """Close the port; running calls may go on for `grace` seconds."""
        if self._looking is not None:
            self._looking.cancel()
        await self._server.stop(grace)

    async def _look(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self._report.write(await asyncio.to_thread(self._connections.look, self.port))
            except Exception:  # the next look may succeed
                log.exception("unexpected error")
            await asyncio.sleep(max(LOOK_SECONDS, _PAUSE * (time.monotonic() - began)))


class _Report:
    """Writes what was found into the metrics each time, and into the log every ten seconds at most."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._next = dict[str, float]()  # by event or reason, when it may be logged again
        self._ended = dict[str, int]()  # by reason, since it was logged

    def write(self, look: Look) -> None:
        self._metrics.connections.labels("grpc").set(look.open)
        self._write_ended("idle", look.idle, "more than max_connections are open")
        self._write_ended("unread", look.unread, "responses were not read")
        if look.rejecting and self._may_log("rejected"):
            log.warning("gRPC connections are rejected", reason="all that may be open are")

    def _write_ended(self, reason: str, count: int, sentence: str) -> None:
        if count:
            self._metrics.connections_ended.labels("grpc", reason).inc(count)
        ended = self._ended[reason] = self._ended.get(reason, 0) + count
        if ended and self._may_log(reason):
            self._ended[reason] = 0
            log.warning("gRPC connections ended", reason=sentence, count=ended)

    def _may_log(self, key: str) -> bool:
        now = time.monotonic()
        if now < self._next.get(key, 0):
            return False
        self._next[key] = now + _LOG_SECONDS
        return True
