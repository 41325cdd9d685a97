"""grpc.health.v1: whether this server wants requests."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from keraserve_protocol.services import MODEL_SERVICE, PREDICTION_SERVICE

log = logging.getLogger(__name__)

# "" is the server; the short names are what TensorFlow Serving calls its services here.
NAMES = ("", "ModelService", "PredictionService", MODEL_SERVICE, PREDICTION_SERVICE)
_STATUS = health_pb2.HealthCheckResponse


class _Servicer(health.HealthServicer):
    """Answers on a thread of its own: who asks while all others are busy has to hear so."""

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """See grpc.health.v1."""
        return super().Check(request, context)

    Check.experimental_thread_pool = ThreadPoolExecutor(1, "health")  # type: ignore[attr-defined]


class Health:
    """Says SERVING while every configured model has a version that serves, and the server does not drain."""

    def __init__(self) -> None:
        # Watch without a thread for each watcher: a few watchers would take all the requests' threads.
        self._servicer = _Servicer(
            experimental_non_blocking=True, experimental_thread_pool=ThreadPoolExecutor(max_workers=1)
        )
        self._serving: bool | None = None
        self.set(serving=False)

    def add_to(self, server: grpc.Server) -> None:
        """Serve it on `server`."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def set(self, *, serving: bool) -> None:
        """Say so, to those who ask and to those who watch."""
        if serving == self._serving:
            return
        self._serving = serving
        status: Any = _STATUS.SERVING if serving else _STATUS.NOT_SERVING
        for name in NAMES:
            self._servicer.set(name, status)

    def drain(self) -> None:
        """Say NOT_SERVING from now on, whatever `set` is told later."""
        self._servicer.enter_graceful_shutdown()
