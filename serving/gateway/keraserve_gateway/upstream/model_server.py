"""The upstream: TensorFlow Serving's calls as the gateway needs them, and their gRPC form.

`ModelServer` is what the rest of the gateway knows; its other form is `in_process`.
"""

import asyncio
import time
from typing import Protocol, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError

from keraserve_gateway import errors
from keraserve_gateway.context import CallContext, Deadline
from keraserve_gateway.upstream.coalescing import RequestCoalescer
from keraserve_gateway.upstream.connection import MAX_MESSAGE_BYTES, Connection, to_be_repeated
from keraserve_gateway.upstream.independent_rows import IndependentRows
from keraserve_gateway.upstream.model_calls import ModelCalls, Request, Response
from keraserve_gateway.upstream.model_cards import ModelCards
from keraserve_protocol import services

log = structlog.get_logger()
_LONG = 1 << 20  # bytes: a longer message takes milliseconds to write


class ModelsUnavailable(Exception):  # noqa: N818 (a sentence for the operator)
    """The models can't be loaded; the message is a sentence that says why."""


class ModelServer(ModelCalls, Protocol):
    """A model server.

    Attributes:
        cards: what its versions say of themselves.
    """

    cards: ModelCards

    @property
    def is_up(self) -> bool:
        """Whether it can be reached now; in process, whether the models are loaded."""
        ...

    def metrics_page(self) -> bytes:
        """Give its own metrics in Prometheus' text format, where it has no address to be asked for them."""
        ...

    async def forward(self, path: str, body: bytes, context: CallContext) -> bytes:
        """Make the call at an HTTP/2 path with serialized messages; errors as `Ask`."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class GrpcModelServer:
    """A `ModelServer` over one gRPC channel. To be made inside the event loop that uses it.

    Args:
        addresses: `host:port`, a name with several servers behind it, or several addresses (see
            `grpc_target`). None need answer yet: calls raise `ModelServerUnavailable` until one does.
        max_merged: most examples of several requests in one call.
    """

    def __init__(self, addresses: str, max_merged: int) -> None:
        self._connection = Connection(addresses)
        self.cards = ModelCards(self.ask)
        self._coalescer = RequestCoalescer(self._ask, max_merged, IndependentRows(self.cards))

    @property
    def is_up(self) -> bool:
        """See `ModelServer`."""
        return self._connection.is_up

    def metrics_page(self) -> bytes:
        """See `ModelServer`: nothing, its own port has them."""
        return b""

    async def ask(
        self, call: services.Call[Request, Response], request: Request, context: CallContext
    ) -> Response:
        """See `ModelServer`; classifications may be merged with others."""
        return await self._coalescer.ask(call, request, context)

    async def forward(self, path: str, body: bytes, context: CallContext) -> bytes:
        """See `ModelServer`. What no server took up is sent once more; what may have broken one is not."""
        deadline = Deadline.after(context.timeout)
        # Without (de)serializers the call carries bytes.
        invoke = self._connection.channel.unary_unary(path)
        for last_try in (False, True):
            if not deadline.left():
                break
            await self._connection.ready(deadline.left())
            began = time.monotonic()
            try:
                response = await invoke(body, timeout=deadline.left(), metadata=tuple(context.metadata))
            except asyncio.CancelledError:
                self._connection.ended(began, responded=False)
                raise
            except grpc.aio.AioRpcError as error:
                self._connection.ended(began, responded=error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED)
                if error.code() in _AWAY:
                    log.info("model server unavailable", code=error.code().name, detail=error.details())
                if last_try or not to_be_repeated(error):
                    raise translated(error.code(), error.details() or "") from error
            else:
                self._connection.ended(began, responded=True)
                return cast(bytes, response)
        raise errors.DeadlineExceeded("the deadline passed before the model server was asked")

    async def close(self) -> None:
        """See `ModelServer`."""
        await self._connection.close()

    async def _ask(
        self, call: services.Call[Request, Response], request: Request, context: CallContext
    ) -> Response:
        sent = request.SerializeToString()
        if len(sent) > _LONG:
            await asyncio.sleep(0)  # gRPC makes another copy of it
        response = await self.forward(call.path, sent, context)
        try:
            return call.response.FromString(response)
        except DecodeError as error:
            raise errors.InvalidResponse(
                f"the model server's response to {call.name} can't be read"
            ) from error


_INPUT = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
}
_UNKNOWN_LABEL = "Unrecognized servable version label"
_RESPONSE_TOO_LONG = "CLIENT: Received message larger than max"  # at this end; the other end's is the request
_QUEUE_FULL = "The batch scheduling queue"
_AWAY = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


def translated(code: grpc.StatusCode, detail: str) -> errors.GatewayError:
    """Make our error of the model server's status, which it keeps as its origin."""
    if detail.startswith(_UNKNOWN_LABEL):  # INVALID_ARGUMENT to TensorFlow Serving
        return errors.NotFound(detail, origin=code)
    if code in _INPUT:
        return errors.BadRequest(detail, origin=code)
    if code is grpc.StatusCode.NOT_FOUND:
        return errors.NotFound(detail, origin=code)
    if code is grpc.StatusCode.UNAVAILABLE and detail.startswith(_QUEUE_FULL):
        return errors.Overloaded("the model server's queue is full", origin=code)
    if code in _AWAY:
        # gRPC's own detail would show callers where the model server stands.
        return errors.ModelServerUnavailable("the model server is not available", origin=code)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded("the model server did not answer in time", origin=code)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return _exhausted(detail)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return errors.CallNotImplemented(detail or "the model server has no such call", origin=code)
    return errors.ModelServerFailure(detail or f"the model server failed: {code.name}", origin=code)


def _exhausted(detail: str) -> errors.GatewayError:
    """Tell gRPC's own limits on messages from a full queue: only that is worth a retry."""
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    if _RESPONSE_TOO_LONG in detail:
        return errors.InvalidResponse(f"the model server's response has more than {MAX_MESSAGE_BYTES} bytes")
    if "larger than max" in detail:
        return errors.TooLarge(detail, origin=code)
    return errors.Overloaded(detail or "the model server has too much to do", origin=code)
