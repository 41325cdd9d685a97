"""TensorFlow Serving's gRPC services: each call is a method of the engine, each error has a status."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from keraserve_embedded.api.grpc_limits import CallLimits
from keraserve_embedded.api.message_bytes import MessageBytes
from keraserve_embedded.api.reload_config import ConfigReloader
from keraserve_embedded.deadline import Deadline
from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import (
    Code,
    DeadlineExceededError,
    EmbeddedError,
    InternalError,
    InvalidRequestError,
    client_message,
)
from keraserve_embedded.observer import Observer
from keraserve_protocol import messages as m
from keraserve_protocol import services

log = logging.getLogger(__name__)

Handler = Callable[[Any, Any], Any]

_NO_MODEL = m.ModelSpec()
# More than run at once: a call occupies a thread while its message arrives.
_METADATA_THREADS = ThreadPoolExecutor(64, "metadata")
# gRPC's statuses by number, which are also the numbers of `Code`.
STATUS: dict[int, grpc.StatusCode] = {status.value[0]: status for status in grpc.StatusCode}


def handlers(
    engine: Engine,
    observer: Observer,
    reloader: ConfigReloader,
    limits: CallLimits,
    slots: Semaphore,
    messages: MessageBytes,
) -> list[Any]:
    """Make the handlers of both services.

    Args:
        engine: runs the calls.
        observer: receives each request.
        reloader: runs HandleReloadConfigRequest.
        limits: how long a call may take to send and to read.
        slots: one for each request that may run; a call takes one when its message has arrived.
        messages: counts the bytes of the requests in flight.
    """
    inference = (
        (services.PREDICT, engine.predict),
        (services.CLASSIFY, engine.classify),
        (services.REGRESS, engine.regress),
        (services.MULTI_INFERENCE, engine.multi_inference),
    )
    about_models = (
        (services.GET_MODEL_METADATA, engine.metadata),
        (services.GET_MODEL_STATUS, engine.status),
    )
    return services.handlers(
        {
            **{
                call: limits.limited(
                    _with_message(
                        call,
                        messages,
                        _with_slot(slots, _with_status(_observed(call.name, method, observer))),
                    )
                )
                for call, method in inference
            },
            **{
                call: _on_metadata_threads(
                    limits.limited(_with_message(call, messages, _with_status(_without_deadline(method))))
                )
                for call, method in about_models
            },
            services.RELOAD_CONFIG: limits.limited(
                _with_message(services.RELOAD_CONFIG, messages, _with_status(_with_deadline(reloader.reload)))
            ),
        },
        streamed=True,
    )


def _with_message(call: services.Call[Any, Any], messages: MessageBytes, handler: Handler) -> Handler:
    """Count and parse a message; its bytes are counted until the call has ended."""

    def parse(received: bytes, context: Any) -> Any:
        try:
            messages.acquire(len(received))
        except EmbeddedError as error:
            return _reject(context, error)
        try:
            request = call.request.FromString(received)
        except DecodeError:
            messages.release(len(received))
            return _reject(context, InvalidRequestError(f"the message is no {call.request.DESCRIPTOR.name}"))
        try:
            return handler(request, context)
        finally:
            messages.release(len(received))

    return parse


def _reject(context: Any, error: EmbeddedError) -> Any:
    return context.abort(STATUS[error.code], client_message(error))


def _with_slot(slots: Semaphore, handler: Handler) -> Handler:
    def wait(request: Any, context: Any) -> Any:
        with slots:
            return handler(request, context)

    return wait


def _on_metadata_threads(handler: Any) -> Handler:
    """Run on separate threads, so that status and metadata don't wait for inference."""
    handler.experimental_thread_pool = _METADATA_THREADS
    return handler


def _without_deadline(call: Callable[[Any], Any]) -> Handler:
    return lambda request, _: call(request)


def _with_deadline(call: Callable[[Any, Deadline], Any]) -> Handler:
    return lambda request, context: call(request, Deadline(context.time_remaining()))


def _observed(name: str, call: Callable[[Any, Deadline], Any], observer: Observer) -> Handler:
    """Run a call until its deadline, and count it as TensorFlow Serving does."""

    def respond(request: Any, context: Any) -> Any:
        deadline = Deadline(context.time_remaining())
        context.add_callback(deadline.cancel)  # the client has disconnected
        began, code = time.monotonic(), Code.INTERNAL
        try:
            response = call(request, deadline)
            code = Code.OK
        except EmbeddedError as error:
            code = error.code
            raise
        finally:
            observer.request_ended(_model_name(request), name, "GRPC", code, time.monotonic() - began)
        return response

    return respond


def _model_name(request: Any) -> str:
    named = request.tasks[0] if isinstance(request, m.MultiInferenceRequest) and request.tasks else request
    return getattr(named, "model_spec", _NO_MODEL).name


def _with_status(handler: Handler) -> Handler:
    def respond(request: Any, context: Any) -> Any:
        try:
            left = context.time_remaining()
            if left is not None and left <= 0:
                raise DeadlineExceededError("Deadline Exceeded")
            return handler(request, context)
        except EmbeddedError as error:
            failure = error
        except Exception as error:
            log.error("a request failed: %s: %s", type(error).__name__, error)
            failure = InternalError(f"internal error: {type(error).__name__}")
        return _reject(context, failure)

    return respond
