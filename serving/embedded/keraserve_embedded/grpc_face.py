"""TensorFlow Serving's gRPC services: a call is a method of the engine, an error its status."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import grpc

from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import DeadlinePassedError, EmbeddedError, InternalError, client_message
from keraserve_protocol import services

log = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")

# gRPC's own statuses by number; they have the numbers of our codes.
STATUS: dict[int, grpc.StatusCode] = {status.value[0]: status for status in grpc.StatusCode}


def handlers(engine: Engine) -> list[Any]:
    """Make the handlers of both services. A call that is not in the table answers UNIMPLEMENTED."""
    return services.handlers(
        {
            services.PREDICT: _face(engine.predict),
            services.CLASSIFY: _face(engine.classify),
            services.REGRESS: _face(engine.regress),
            services.MULTI_INFERENCE: _face(engine.multi_inference),
            services.GET_MODEL_METADATA: _face(engine.metadata),
            services.GET_MODEL_STATUS: _face(engine.status),
        }
    )


def _face(call: Callable[[Request], Response]) -> Callable[[Request, Any], Response]:
    def answer(request: Request, context: Any) -> Response:
        try:
            left = context.time_remaining()
            if left is not None and left <= 0:
                raise DeadlinePassedError("Deadline Exceeded")
            return call(request)
        except EmbeddedError as error:
            failure = error
        except Exception as error:
            log.error("a request failed: %s: %s", type(error).__name__, error)
            failure = InternalError(f"internal error: {type(error).__name__}")
        return context.abort(STATUS[failure.code], client_message(failure))

    return answer


class CountingPool(ThreadPoolExecutor):
    """A thread pool that knows whether it holds requests, running or waiting."""

    def __init__(self, threads: int) -> None:
        super().__init__(max_workers=threads, thread_name_prefix="request")
        self._held = 0
        self._count = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether no request runs or waits."""
        return self._held == 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Take one request."""
        self._change(+1)
        try:
            future = super().submit(fn, *args, **kwargs)
        except BaseException:
            self._change(-1)
            raise
        future.add_done_callback(lambda _: self._change(-1))
        return future

    def _change(self, by: int) -> None:
        with self._count:
            self._held += by
