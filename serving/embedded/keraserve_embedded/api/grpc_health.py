"""The gRPC service grpc.health.v1, which reports whether this server accepts requests."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from keraserve_embedded.api.grpc_limits import CallLimits
from keraserve_protocol.services import HEALTH_SERVICES

log = logging.getLogger(__name__)

_THREADS = 32  # a call occupies one while its message arrives


class HealthService:
    """Reports SERVING while every configured model serves and the server does not drain."""

    def __init__(self) -> None:
        # Non-blocking, as otherwise each Watch call would occupy a thread of the requests.
        self._servicer = health.HealthServicer(
            experimental_non_blocking=True, experimental_thread_pool=ThreadPoolExecutor(_THREADS)
        )
        self._serving: bool | None = None
        self.set(serving=False)

    def add_to(self, server: grpc.Server, limits: CallLimits) -> None:
        """Add it to `server`, with its own threads: it responds while all request threads are busy."""
        check = limits.limited(self._servicer.Check)
        check.experimental_thread_pool = ThreadPoolExecutor(_THREADS, "health")  # type: ignore[attr-defined]
        made: Any = grpc
        methods = {
            "Check": made.stream_unary_rpc_method_handler(
                check,
                request_deserializer=health_pb2.HealthCheckRequest.FromString,
                response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
            ),
            "Watch": made.unary_stream_rpc_method_handler(
                self._servicer.Watch,
                request_deserializer=health_pb2.HealthCheckRequest.FromString,
                response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
            ),
        }
        service = made.method_handlers_generic_handler("grpc.health.v1.Health", methods)
        server.add_generic_rpc_handlers((service,))

    def set(self, *, serving: bool) -> None:
        """Change the status that Check and Watch report."""
        if serving == self._serving:
            return
        self._serving = serving
        response = health_pb2.HealthCheckResponse
        status: Any = response.SERVING if serving else response.NOT_SERVING
        for name in HEALTH_SERVICES:
            self._servicer.set(name, status)

    def drain(self) -> None:
        """Report NOT_SERVING from now on, whatever `set` is called with later."""
        self._servicer.enter_graceful_shutdown()
