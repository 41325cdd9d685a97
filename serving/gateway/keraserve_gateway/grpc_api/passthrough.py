"""TensorFlow Serving's two gRPC services on the gateway's own port, passed through as bytes.

A request is read to learn its model, for keys, canary and metrics; what goes on to the model server are the
caller's bytes, unless the canary writes a version into them. Deadline and status go by as they are.

gRPC hands a call over when its message is whole, and waits for that without an end. So the calls are declared
as streams of requests, which are the same on the wire: then the message is asked for here, and waited for as
long as the call may last.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError

from keraserve_gateway.calls.offloading import run_in_turns
from keraserve_gateway.calls.readiness import unready_reasons
from keraserve_gateway.calls.request_limits import RequestLimits
from keraserve_gateway.context import REQUEST_ID, RequestContext
from keraserve_gateway.errors import (
    BadRequest,
    Forbidden,
    GatewayError,
    Overloaded,
    RequestTimeout,
    TooLarge,
    UnknownApiKey,
)
from keraserve_gateway.gateway import Gateway
from keraserve_gateway.incomplete_bodies import IncompleteBodies, IncompleteBody
from keraserve_gateway.statuses import grpc_status
from keraserve_gateway.time_limit import TimeLimit
from keraserve_gateway.upstream.version_routing import VersionRouter
from keraserve_protocol import messages as m
from keraserve_protocol import services
from keraserve_protocol.grpc_connections import Call as OpenCall
from keraserve_protocol.grpc_connections import GrpcConnections
from keraserve_protocol.message_amount import (
    AmountError,
    MalformedError,
    check_amount,
    first_message,
    without_values,
)

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[bytes, bytes]
    ServicerContext = grpc.aio.ServicerContext[bytes, bytes]
else:  # not subscriptable when it runs
    Handler, ServicerContext = grpc.GenericRpcHandler, grpc.aio.ServicerContext

log = structlog.get_logger()
Call = services.Call[Any, Any]

_CALLS = {call.path: call for call in services.CALLS}
# grpc.health.v1.Health/Check for the whole server; the response has one field, number 1: the status, an enum.
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"

_LONG = 1 << 20  # bytes: tensors of more take milliseconds to parse
_LONGEST_SPEC = 4 << 10  # bytes
_MOST_SLOWED = 32  # of a connection's 128 calls
_CROWDED = "more calls are sending their messages than are waited for, and this one took longest"


class PassThrough(Handler):
    """Handles `PredictionService`, `ModelService` and Health/Check; all else is UNIMPLEMENTED."""

    def __init__(self, gateway: Gateway, connections: GrpcConnections) -> None:
        self._gateway = gateway
        self._connections = connections
        self._seconds = gateway.settings.deadline_seconds
        self._slowed = Counter[str]()  # calls with wrong keys that wait, by connection
        self._incomplete = IncompleteBodies(2 * gateway.settings.max_in_flight)  # messages, not bytes

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """Give the handler of a call, by its path."""
        path = handler_call_details.method
        if path == _HEALTH:
            return cast(Any, grpc).stream_unary_rpc_method_handler(self._health)
        call = _CALLS.get(path or "")
        if call is None:
            return None

        async def forward(_: object, rpc: ServicerContext) -> bytes:
            return await self._forward(call, rpc)

        # Without (de)serializers the handler is given bytes, and gives bytes.
        return cast(Any, grpc).stream_unary_rpc_method_handler(forward)

    async def _health(self, _: object, rpc: ServicerContext) -> bytes:
        """Answer as `/readyz` does."""
        gateway, context = self._gateway, self._context(rpc)
        request_id = context.request_id
        self._open(rpc)
        try:
            await self._received(rpc, context)
        except GatewayError as error:
            return _failed(rpc, grpc_status(error), error.detail)
        reasons = await unready_reasons(gateway.server, gateway.configured, gateway.admission, request_id)
        return _NOT_SERVING if reasons else _SERVING

    async def _forward(self, call: Call, rpc: ServicerContext) -> bytes:
        started, context = time.perf_counter(), self._context(rpc)
        with self._gateway.span(context, call.path[1:], {"rpc.system": "grpc"}):
            code, detail, response = await self._handled(call, rpc, context, started)
        if code is not grpc.StatusCode.OK:
            return _failed(rpc, code, detail, _pushback(context.error))
        return response

    async def _handled(
        self, call: Call, rpc: ServicerContext, context: RequestContext, started: float
    ) -> tuple[grpc.StatusCode, str, bytes]:
        """Answer, and write down how."""
        response, open_call = b"", self._open(rpc)
        code, detail = grpc.StatusCode.OK, ""
        with structlog.contextvars.bound_contextvars(request_id=context.request_id):
            await rpc.send_initial_metadata(((REQUEST_ID, context.request_id), *context.trace[:1]))
            try:
                response = await self._responded(call, rpc, context, open_call)
            except GatewayError as error:
                context.record_error(error)
                code, detail = grpc_status(error), error.detail
            except Exception:
                log.exception("unexpected error")
                code = grpc.StatusCode.INTERNAL
                detail = f"an unexpected error; request id {context.request_id}"
            finally:
                open_call.end_work()
                self._gateway.bodies.give_back(context.held)
            seconds = time.perf_counter() - started
            context.status = code.name
            self._gateway.observe(context, "grpc", seconds)
            log.info("call", path=call.path, status=code.name, **context.log_fields(seconds))
        return code, detail, response

    async def _received(self, rpc: ServicerContext, context: RequestContext) -> bytes:
        """Wait for a call's message, up to its deadline, and no longer than others leave it the room.

        It is read from gRPC's context: the iterator of requests, left after the first, keeps that in memory.
        """
        time_limit = TimeLimit(context.timeout)
        message = IncompleteBody(self._incomplete, time_limit)
        try:
            with time_limit, message:
                message.add(1)
                request = await cast(Any, rpc).read()
        except TimeoutError as error:
            if message.given_up:
                raise Overloaded(_CROWDED) from error
            raise RequestTimeout("the message did not arrive before the call's deadline") from error
        if request is cast(Any, grpc.aio).EOF:
            raise BadRequest("the call has no message")
        return request

    async def _responded(
        self, call: Call, rpc: ServicerContext, context: RequestContext, open_call: OpenCall
    ) -> bytes:
        """Check the key, wait for a place, ask the model server."""
        if call is services.RELOAD_CONFIG:
            # It makes the model server load what its caller names: for the operator, who can reach that.
            raise Forbidden("the gateway does not pass this call on; make it at the model server")
        gateway = self._gateway
        try:
            context.key = gateway.keys.recognise(context.given_key)
        except UnknownApiKey:
            await self._slow_down(rpc.peer())
            raise
        request = await self._received(rpc, context)
        open_call.in_work = True
        gateway.bodies.take(len(request))
        context.held = len(request)
        message = await _parsed(call, request)
        specs = _specs(message)
        names = list(dict.fromkeys(spec.name for spec in specs))
        context.model = names[0] if names else ""
        gateway.keys.admit(context.key, names)
        group = gateway.group(context.model, context.key)
        _check(message, gateway.request_limits)
        async with gateway.admission.enter(context.timeout, group):
            response = await self._asked(call, request, message, specs, context)
        context.version = _version(call, response) or context.version
        return response

    async def _slow_down(self, peer: str) -> None:
        """Let a wrong key wait, if few of its connection do: right keys of the connection need calls, too."""
        if self._slowed[peer] >= _MOST_SLOWED:
            return
        self._slowed[peer] += 1
        try:
            await self._gateway.wrong_keys.slow_down(peer.rpartition(":")[0].removeprefix("ipv4:"))
        finally:
            self._slowed[peer] -= 1
            if not self._slowed[peer]:
                del self._slowed[peer]

    async def _asked(
        self,
        call: Call,
        request: bytes,
        message: m.Message,
        specs: Sequence[m.ModelSpec],
        context: RequestContext,
    ) -> bytes:
        """Ask the model server, with the caller's bytes where nothing was written into them."""
        before = list(map(_choice, specs))

        async def forward() -> bytes:
            sent = request if before == list(map(_choice, specs)) else _changed(call, request, message)
            return await self._gateway.server.forward(call.path, sent, context)

        # A status is of all versions where none is named; of several models, the model server makes an error.
        if call is services.GET_MODEL_STATUS or len({spec.name for spec in specs}) != 1:
            return await forward()
        return await VersionRouter(self._gateway.server, self._gateway.canary, context).route(specs, forward)

    def _open(self, rpc: ServicerContext) -> OpenCall:
        """Note a call until grpcio has written its response, or its caller is gone."""
        call = self._connections.began(rpc.peer())

        def ended(_: object) -> None:
            call.end()

        cast(Any, rpc).add_done_callback(ended)
        return call

    def _context(self, rpc: ServicerContext) -> RequestContext:
        given = {key: str(value) for key, value in rpc.invocation_metadata() or ()}
        left = cast("float | None", rpc.time_remaining())
        seconds = self._seconds if left is None else min(self._seconds, left)
        return RequestContext.from_headers(given.get, seconds)


async def _parsed(call: Call, request: bytes) -> m.Message:
    """Parse a request; of a long one with tensors, all but what is in them.

    Raises:
        TooLarge: far too much in it.
        BadRequest: it is none, or has a name that is no model's.
    """
    try:
        await run_in_turns(check_amount(request, call.request))
        if call is services.PREDICT and len(request) > _LONG:
            message = without_values(request)
        else:
            message = call.request.FromString(request)
    except AmountError as error:
        raise TooLarge(str(error)) from error
    except (MalformedError, DecodeError) as error:
        raise BadRequest(f"the request is no {call.request.DESCRIPTOR.name}") from error
    if any(spec.ByteSize() > _LONGEST_SPEC for spec in _specs(message)):
        raise BadRequest(f"names of model, label and signature of more than {_LONGEST_SPEC} bytes together")
    return message


def _changed(call: Call, request: bytes, message: m.Message) -> bytes:
    """Write the versions of a parsed request into it: later fields are merged into earlier ones."""
    if call is services.PREDICT:
        spec = cast(m.PredictRequest, message).model_spec
        return request + m.PredictRequest(model_spec=spec).SerializeToString()
    return message.SerializeToString()


def _specs(message: m.Message) -> Sequence[m.ModelSpec]:
    """Find the models that a request names."""
    if isinstance(message, m.MultiInferenceRequest):
        return [task.model_spec for task in message.tasks]
    return [cast(m.PredictRequest, message).model_spec]


def _check(message: m.Message, limits: RequestLimits) -> None:
    """Look at what a request claims; rows are the model server's to look at, which knows the signature.

    Raises:
        TooLarge: too many elements, or examples.
    """
    if isinstance(message, m.PredictRequest):
        limits.check(message.inputs, {})
    elif isinstance(message, m.ClassificationRequest | m.RegressionRequest | m.MultiInferenceRequest):
        given = message.input
        limits.check_examples(
            max(len(given.example_list.examples), len(given.example_list_with_context.examples))
        )


def _choice(spec: m.ModelSpec) -> str | None:
    return spec.WhichOneof("version_choice")


def _version(call: Call, response: bytes) -> int:
    """Find the version that answered; 0 where the response does not say."""
    if call is services.GET_MODEL_STATUS:
        return 0
    try:
        spec = first_message(response, call.response, "model_spec", within="results")
        return m.ModelSpec.FromString(spec).version.value
    except (MalformedError, DecodeError):
        return 0  # the caller's to complain about


def _failed(
    rpc: ServicerContext,
    code: grpc.StatusCode,
    detail: str,
    trailing: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """End a call with a status; gives what its handler returns, which is not sent.

    Not by gRPC's `context.abort`: the context keeps the exception that it raises, whose frames hold it.
    gRPC's objects are none of the garbage collector's, so each such call would stay in memory for ever.
    """
    rpc.set_code(code)
    rpc.set_details(detail)
    if trailing:
        rpc.set_trailing_metadata(trailing)
    return b""


def _pushback(error: GatewayError | None) -> tuple[tuple[str, str], ...]:
    """Say when to try again, in gRPC's own words for that (proposal A6)."""
    if error is None or error.retry_after is None:
        return ()
    return (("grpc-retry-pushback-ms", str(error.retry_after * 1000)),)
