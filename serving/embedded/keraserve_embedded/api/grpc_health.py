"""The service grpc.health.v1: whether this server takes requests."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

from keraserve_embedded.api.grpc_limits import CallLimits
from keraserve_protocol.services import MODEL_SERVICE, PREDICTION_SERVICE

log = logging.getLogger(__name__)

# "" is the server; the short names are what TensorFlow Serving calls its services here.
NAMES = ("", "ModelService", "PredictionService", MODEL_SERVICE, PREDICTION_SERVICE)
_STATUS = health_pb2.HealthCheckResponse
_THREADS = 32  # a call holds one while its message arrives


class HealthService:
    """Reports SERVING while every configured model serves and the server does not drain."""

    def __init__(self) -> None:
        # Watch without a thread for each watcher: a few watchers would take all the requests' threads.
        self._servicer = health.HealthServicer(
            experimental_non_blocking=True, experimental_thread_pool=ThreadPoolExecutor(_THREADS)
        )
        self._serving: bool | None = None
        self.set(serving=False)

    def add_to(self, server: grpc.Server, limits: CallLimits) -> None:
        """Serve it on `server`, on threads of its own: it responds while all request threads are busy."""
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
        status: Any = _STATUS.SERVING if serving else _STATUS.NOT_SERVING
        for name in NAMES:
            self._servicer.set(name, status)

    def drain(self) -> None:
        """Say NOT_SERVING from now on, whatever `set` is called with later."""
        self._servicer.enter_graceful_shutdown()
