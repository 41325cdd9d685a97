"""How long a gRPC call may take to send its message and to read its answer: else it holds its place."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from keraserve_embedded.periodic import Periodic

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5


class CallLimits:
    """Cuts off calls that are overdue.

    gRPC's Python gives a call to a thread when its headers are there, and the thread waits for the message.
    """

    def __init__(self, receive_seconds: float, send_seconds: float) -> None:
        self._receive_seconds, self._send_seconds = receive_seconds, send_seconds
        self._until: dict[Any, float] = {}  # by context
        self._watch = Periodic("call limits", _LOOK_SECONDS, self._cut_off)

    def start(self) -> None:
        """Begin to look."""
        self._watch.start()

    def stop(self) -> None:
        """Look no more."""
        self._watch.stop()

    def limited(self, answer: Callable[[Any, Any], Any]) -> Callable[[Iterator[Any], Any], Any]:
        """Give an answer to the one message of a call, which is received here."""

        def receive(messages: Iterator[Any], context: Any) -> Any:
            self._until[context] = time.monotonic() + self._receive_seconds
            try:
                message = next(messages, None)
            finally:
                self._until.pop(context, None)
            if message is None:
                return context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the call has no message")
            response = answer(message, context)
            self._until[context] = time.monotonic() + self._send_seconds
            if not context.add_callback(lambda: self._until.pop(context, None)):
                self._until.pop(context, None)  # it has ended already
            return response

        return receive

    def _cut_off(self) -> None:
        now = time.monotonic()
        overdue = [context for context, until in list(self._until.items()) if until < now]
        for context in overdue:
            self._until.pop(context, None)
            context.cancel()
        if overdue:
            log.warning(
                "%d calls were cut off: no message within %g s, or the answer was not read within %g s",
                len(overdue), self._receive_seconds, self._send_seconds,
            )  # fmt: skip
