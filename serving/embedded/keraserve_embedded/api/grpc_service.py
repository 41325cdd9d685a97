"""TensorFlow Serving's gRPC services: a call is a method of the engine, an error its status."""

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
from keraserve_embedded.api.reload_config import Reloading, TimeLeft
from keraserve_embedded.deadline import Patience
from keraserve_embedded.engine import Engine
from keraserve_embedded.errors import (
    Code,
    DeadlinePassedError,
    EmbeddedError,
    InternalError,
    InvalidRequestError,
    client_message,
)
from keraserve_embedded.observer import Observer
from keraserve_protocol import messages as m
from keraserve_protocol import services

log = logging.getLogger(__name__)

Answer = Callable[[Any, Any], Any]

_NO_MODEL = m.ModelSpec()
# More than run at once: each call holds one while its message is on its way.
_BESIDE = ThreadPoolExecutor(64, "question")
# gRPC's own statuses by number; they have the numbers of our codes.
STATUS: dict[int, grpc.StatusCode] = {status.value[0]: status for status in grpc.StatusCode}


def handlers(
    engine: Engine,
    observer: Observer,
    reloading: Reloading,
    limits: CallLimits,
    slots: Semaphore,
    messages: MessageBytes,
) -> list[Any]:
    """Make the handlers of both services.

    Args:
        engine: what answers.
        observer: is told of each request.
        reloading: what follows a reload.
        limits: how long a call may take to send and to read.
        slots: as many requests run at once; a call takes one when its message is there.
        messages: counts the bytes of the requests at work.
    """
    counted = (
        (services.PREDICT, engine.predict),
        (services.CLASSIFY, engine.classify),
        (services.REGRESS, engine.regress),
        (services.MULTI_INFERENCE, engine.multi_inference),
    )
    questions = (
        (services.GET_MODEL_METADATA, engine.metadata),
        (services.GET_MODEL_STATUS, engine.status),
    )
    return services.handlers(
        {
            **{
                call: limits.limited(
                    _parsed(call, messages, _slot(slots, _face(_counted(call.name, method, observer))))
                )
                for call, method in counted
            },
            **{
                call: _beside(limits.limited(_parsed(call, messages, _face(_plain(method)))))
                for call, method in questions
            },
            services.RELOAD_CONFIG: limits.limited(
                _parsed(services.RELOAD_CONFIG, messages, _face(_waiting(reloading.reload)))
            ),
        },
        streamed=True,
    )


def _parsed(call: services.Call[Any, Any], messages: MessageBytes, answer: Answer) -> Answer:
    """Count and parse a message; its bytes are counted until its answer is there."""

    def parsed(received: bytes, context: Any) -> Any:
        try:
            messages.take(len(received))
        except EmbeddedError as error:
            return _refuse(context, error)
        try:
            request = call.request.FromString(received)
        except DecodeError:
            messages.give_back(len(received))
            return _refuse(context, InvalidRequestError(f"the message is no {call.request.DESCRIPTOR.name}"))
        try:
            return answer(request, context)
        finally:
            messages.give_back(len(received))

    return parsed


def _refuse(context: Any, error: EmbeddedError) -> Any:
    return context.abort(STATUS[error.code], client_message(error))


def _slot(slots: Semaphore, answer: Answer) -> Answer:
    def waits(request: Any, context: Any) -> Any:
        with slots:
            return answer(request, context)

    return waits


def _beside(answer: Any) -> Answer:
    """Answer on threads of their own: questions about models don't wait behind those to models."""
    answer.experimental_thread_pool = _BESIDE
    return answer


def _plain(call: Callable[[Any], Any]) -> Answer:
    return lambda request, _: call(request)


def _waiting(call: Callable[[Any, TimeLeft], Any]) -> Answer:
    return lambda request, context: call(request, context.time_remaining)


def _counted(name: str, call: Callable[[Any, Patience], Any], observer: Observer) -> Answer:
    """Run a call for as long as its caller waits, and count it as TensorFlow Serving does."""

    def answer(request: Any, context: Any) -> Any:
        patience = Patience(context.time_remaining())
        context.add_callback(patience.give_up)  # whoever hangs up leaves the queue
        began, code = time.monotonic(), Code.INTERNAL
        try:
            response = call(request, patience)
            code = Code.OK
        except EmbeddedError as error:
            code = error.code
            raise
        finally:
            observer.request(_model(request), name, "GRPC", code, time.monotonic() - began)
        return response

    return answer


def _model(request: Any) -> str:
    asked = request.tasks[0] if isinstance(request, m.MultiInferenceRequest) and request.tasks else request
    return getattr(asked, "model_spec", _NO_MODEL).name


def _face(call: Answer) -> Answer:
    def answer(request: Any, context: Any) -> Any:
        try:
            left = context.time_remaining()
            if left is not None and left <= 0:
                raise DeadlinePassedError("Deadline Exceeded")
            return call(request, context)
        except EmbeddedError as error:
            failure = error
        except Exception as error:
            log.error("a request failed: %s: %s", type(error).__name__, error)
            failure = InternalError(f"internal error: {type(error).__name__}")
        return _refuse(context, failure)

    return answer
