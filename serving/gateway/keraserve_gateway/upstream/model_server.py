"""`ModelServer`, the interface by which the gateway calls a model server, and its form over gRPC.

The form without a network is in `in_process`.
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
from keraserve_gateway.upstream.model_calls import Ask, Request, Response
from keraserve_gateway.upstream.model_cards import ModelCards
from keraserve_protocol import services

log = structlog.get_logger()
_LONG = 1 << 20  # bytes: serializing a longer message takes milliseconds


class ModelsUnavailable(Exception):  # noqa: N818 (a sentence for the operator)
    """The models can't be loaded; the message is a sentence that says why."""


class ModelServer(Protocol):
    """A model server.

    Attributes:
        cards: its versions' model cards.
    """

    cards: ModelCards

    @property
    def ask(self) -> Ask:
        """Makes a call with messages; see `Ask`."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether it is connected and responds; in process, whether the models are loaded."""
        ...

    def metrics_page(self) -> bytes:
        """Return its own metrics in Prometheus' text format if it has no port that serves them."""
        ...

    async def forward(self, path: str, body: bytes, context: CallContext) -> bytes:
        """Make the call at an HTTP/2 path with serialized messages; raises as `Ask`."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class GrpcModelServer:
    """A `ModelServer` over one gRPC channel, made inside the event loop that uses it.

    Args:
        addresses: `host:port`, a name with several servers behind it, or several addresses (see
            `grpc_target`). Until one accepts connections, calls raise `ModelServerUnavailable`.
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
        """See `ModelServer`: empty, its own port serves them."""
        return b""

    async def ask(
        self, call: services.Call[Request, Response], request: Request, context: CallContext
    ) -> Response:
        """See `Ask`; classifications may be merged with others."""
        return await self._coalescer.ask(call, request, context)

    async def forward(self, path: str, body: bytes, context: CallContext) -> bytes:
        """See `ModelServer`. A call that no server began is sent once more; one that may have run is not."""
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
                if error.code() in _UNAVAILABLE:
                    log.info("model server unavailable", code=error.code().name, detail=error.details())
                if last_try or not to_be_repeated(error):
                    raise translated(error.code(), error.details() or "") from error
            else:
                self._connection.ended(began, responded=True)
                return cast(bytes, response)
        raise errors.DeadlineExceeded("the deadline passed before the request was sent to the model server")

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


_Code = grpc.StatusCode
_INPUT = {_Code.INVALID_ARGUMENT, _Code.FAILED_PRECONDITION, _Code.OUT_OF_RANGE}
_UNKNOWN_LABEL = "Unrecognized servable version label"
_RESPONSE_TOO_LONG = "CLIENT: Received message larger than max"  # else a request was too long
_QUEUE_FULL = "The batch scheduling queue"
_UNAVAILABLE = {_Code.UNAVAILABLE, _Code.CANCELLED}


def translated(code: grpc.StatusCode, detail: str) -> errors.GatewayError:
    """Return the `GatewayError` for the model server's status, which is its `origin`."""
    if code is _Code.NOT_FOUND or detail.startswith(_UNKNOWN_LABEL):  # TensorFlow Serving: INVALID_ARGUMENT
        return errors.NotFound(detail, origin=code)
    if code in _INPUT:
        return errors.BadRequest(detail, origin=code)
    if code is _Code.UNAVAILABLE and detail.startswith(_QUEUE_FULL):
        return errors.Overloaded("the model server's queue is full", origin=code)
    if code in _UNAVAILABLE:
        # gRPC's own detail would show callers the model server's address.
        return errors.ModelServerUnavailable("the model server is not available", origin=code)
    if code is _Code.DEADLINE_EXCEEDED:
        return errors.DeadlineExceeded("the model server did not respond in time", origin=code)
    if code is _Code.RESOURCE_EXHAUSTED:
        return _exhausted(detail)
    if code is _Code.UNIMPLEMENTED:
        return errors.CallNotImplemented(detail or "the model server has no such call", origin=code)
    return errors.ModelServerFailure(detail or f"the model server failed: {code.name}", origin=code)


def _exhausted(detail: str) -> errors.GatewayError:
    """Tell gRPC's limits on messages from a full queue, for which a retry may help."""
    code = _Code.RESOURCE_EXHAUSTED
    if _RESPONSE_TOO_LONG in detail:
        return errors.InvalidResponse(f"the model server's response has more than {MAX_MESSAGE_BYTES} bytes")
    if "larger than max" in detail:
        return errors.TooLarge(detail, origin=code)
    return errors.Overloaded(detail or "the model server has too much to do", origin=code)
