"""TensorFlow Serving's two gRPC services on the gateway's own port, passed through as bytes.

A request is parsed to learn its model, for keys, canary and metrics; the model server gets the caller's
bytes, unless the canary writes a version into them. Deadline and status are passed on unchanged.

For a unary call, gRPC waits for the whole message without a limit before it calls the handler. So the calls
are declared as streams of requests, which are the same on the wire: the handler reads the message itself,
within the call's deadline.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import StringValue

from keraserve_gateway.calls.offloading import run_in_turns
from keraserve_gateway.calls.readiness import unready_reasons
from keraserve_gateway.calls.request_limits import RequestLimits
from keraserve_gateway.context import REQUEST_ID, RequestContext
from keraserve_gateway.errors import (
    BadRequest,
    Forbidden,
    GatewayError,
    NotFound,
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

# Of grpc.health.v1.Health/Check, request and response have one field, number 1: the name of a service, and
# the status, an enum.
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"

_LONG = 1 << 20  # bytes: parsing longer tensors takes milliseconds
_LONGEST_SPEC = 4 << 10  # bytes
_MOST_SLOWED = 32  # of a connection's 128 calls
_CROWDED = "more calls are sending their messages than are waited for, and this one took longest"


class PassThrough(Handler):
    """Handles `PredictionService`, `ModelService` and Health/Check; other calls are UNIMPLEMENTED."""

    def __init__(self, gateway: Gateway, connections: GrpcConnections) -> None:
        self._gateway = gateway
        self._connections = connections
        self._seconds = gateway.settings.deadline_seconds
        self._slowed = Counter[str]()  # calls with wrong keys that are delayed, by connection
        self._incomplete = IncompleteBodies(2 * gateway.settings.max_in_flight)  # counts messages, not bytes

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """Return the handler of a call by its path."""
        path = handler_call_details.method or ""
        call = services.BY_PATH.get(path)
        if call is None and path != _HEALTH:
            return None

        async def forward(_: object, rpc: ServicerContext) -> bytes:
            return await (self._forward(call, rpc) if call else self._health(rpc))

        # Without (de)serializers the handler takes and returns bytes.
        return cast(Any, grpc).stream_unary_rpc_method_handler(forward)

    async def _health(self, rpc: ServicerContext) -> bytes:
        """Report what `/readyz` does."""
        gateway, context = self._gateway, self._context(rpc)
        self._open(rpc)
        try:
            _check_service(await self._receive(rpc, context))
        except GatewayError as error:
            return _fail(rpc, grpc_status(error), error.detail)
        ask, configured, admission = gateway.server.ask, gateway.configured, gateway.admission
        reasons = await unready_reasons(ask, configured, admission, context.request_id)
        return _NOT_SERVING if reasons else _SERVING

    async def _forward(self, call: Call, rpc: ServicerContext) -> bytes:
        started, context = time.perf_counter(), self._context(rpc)
        with self._gateway.span(context, call.path[1:], {"rpc.system": "grpc"}):
            code, detail, response = await self._handle(call, rpc, context, started)
        if code is not grpc.StatusCode.OK:
            return _fail(rpc, code, detail, context.error)
        return response

    async def _handle(
        self, call: Call, rpc: ServicerContext, context: RequestContext, started: float
    ) -> tuple[grpc.StatusCode, str, bytes]:
        """Return the call's status, its detail and the response; count and log it."""
        response, open_call = b"", self._open(rpc)
        code, detail = grpc.StatusCode.OK, ""
        with structlog.contextvars.bound_contextvars(request_id=context.request_id):
            await rpc.send_initial_metadata(((REQUEST_ID, context.request_id), *context.trace[:1]))
            try:
                response = await self._respond(call, rpc, context, open_call)
            except GatewayError as error:
                context.record_error(error)
                code, detail = grpc_status(error), error.detail + self._gateway.known_models(error, context)
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

    async def _receive(self, rpc: ServicerContext, context: RequestContext) -> bytes:
        """Read a call's message, before its deadline and before too many newer calls wait for theirs.

        It is read from gRPC's context: the iterator of requests would keep the first message in memory.

        Raises:
            RequestTimeout, Overloaded: one of these ended the wait.
            BadRequest: the call has no message.
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

    async def _respond(
        self, call: Call, rpc: ServicerContext, context: RequestContext, open_call: OpenCall
    ) -> bytes:
        """Check the key, read the message, wait for a slot, ask the model server."""
        if call is services.RELOAD_CONFIG:
            # The model server would load whatever the caller names: only the operator may do that.
            raise Forbidden("the gateway does not pass this call on; make it at the model server")
        gateway = self._gateway
        try:
            context.key = gateway.keys.check(context.given_key)
        except UnknownApiKey:
            await self._slow_down(rpc.peer())
            raise
        request = await self._receive(rpc, context)
        open_call.in_work = True
        gateway.bodies.take(len(request))
        context.held = len(request)
        message = await _parse(call, request)
        names = list(dict.fromkeys(spec.name for spec in _specs(message)))
        context.model = names[0] if names else ""
        gateway.keys.admit(context.key, names)
        group = gateway.group(context.model, context.key)
        _check(message, gateway.request_limits)
        async with gateway.admission.slot(context.timeout, group):
            response = await self._ask(call, request, message, context)
        context.record_version(_version(call, response))
        return response

    async def _slow_down(self, peer: str) -> None:
        """Delay a wrong key, unless many calls of its connection wait: calls with right keys need theirs."""
        if self._slowed[peer] >= _MOST_SLOWED:
            return
        self._slowed[peer] += 1
        try:
            await self._gateway.wrong_keys.slow_down(peer.rpartition(":")[0].removeprefix("ipv4:"))
        finally:
            self._slowed[peer] -= 1
            if not self._slowed[peer]:
                del self._slowed[peer]

    async def _ask(self, call: Call, request: bytes, message: m.Message, context: RequestContext) -> bytes:
        """Ask the model server, with the caller's bytes if no version was written into the message."""
        specs = _specs(message)

        def choices() -> list[str | None]:
            return [spec.WhichOneof("version_choice") for spec in specs]

        before = choices()

        async def forward() -> bytes:
            sent = request if before == choices() else _changed(call, request, message)
            return await self._gateway.server.forward(call.path, sent, context)

        if len({spec.SerializeToString() for spec in map(_version_alone, specs)}) > 1:
            raise BadRequest("the tasks name different versions, and a request is answered by one")
        # A status without a version is of all versions; for several models, the model server gives an error.
        if call is services.GET_MODEL_STATUS or len({spec.name for spec in specs}) != 1:
            return await forward()
        router = VersionRouter(self._gateway.server.ask, self._gateway.canary, context)
        return await router.route(specs, forward)

    def _open(self, rpc: ServicerContext) -> OpenCall:
        """Note a call until grpcio has written its response, or its caller has left."""
        call = self._connections.began(rpc.peer())
        add_done_callback: Callable[[Callable[[object], None]], None] = cast(Any, rpc).add_done_callback
        add_done_callback(lambda _: call.end())
        return call

    def _context(self, rpc: ServicerContext) -> RequestContext:
        given = {key: str(value) for key, value in rpc.invocation_metadata() or ()}
        left = cast("float | None", rpc.time_remaining())
        seconds = self._seconds if left is None else min(self._seconds, left)
        return RequestContext.from_headers(given.get, seconds)


def _check_service(request: bytes) -> None:
    """Raise BadRequest for what is no HealthCheckRequest, and NotFound if it names an unknown service."""
    try:
        name = StringValue.FromString(request).value
    except DecodeError as error:
        raise BadRequest("the request is no HealthCheckRequest") from error
    if name not in services.HEALTH_SERVICES:
        known = ", ".join(filter(None, services.HEALTH_SERVICES))
        raise NotFound(f"no service {name[:100]!r}; there are {known}, and the empty name for the server")


async def _parse(call: Call, request: bytes) -> m.Message:
    """Parse a request; of a long one with tensors, all but their values.

    Raises:
        TooLarge: it has too many fields or messages.
        BadRequest: it can't be parsed, or its names are too long.
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
    """Write the versions of a parsed request into its bytes; parsers merge later fields into earlier ones."""
    if call is services.PREDICT:
        spec = cast(m.PredictRequest, message).model_spec
        return request + m.PredictRequest(model_spec=spec).SerializeToString()
    return message.SerializeToString()


def _specs(message: m.Message) -> Sequence[m.ModelSpec]:
    """Return the models that a request names."""
    if isinstance(message, m.MultiInferenceRequest):
        return [task.model_spec for task in message.tasks]
    return [cast(m.PredictRequest, message).model_spec]


def _version_alone(spec: m.ModelSpec) -> m.ModelSpec:
    return m.model_spec("", version=m.version_of(spec), label=spec.version_label or None)


def _check(message: m.Message, limits: RequestLimits) -> None:
    """Raise TooLarge for too many elements or examples; rows are checked by the model server's signature."""
    if isinstance(message, m.PredictRequest):
        limits.check(message.inputs, {})
    elif isinstance(message, m.ClassificationRequest | m.RegressionRequest | m.MultiInferenceRequest):
        given = message.input
        limits.check_examples(
            max(len(given.example_list.examples), len(given.example_list_with_context.examples))
        )


def _version(call: Call, response: bytes) -> int | None:
    """Return the version of a response; None if the response does not say."""
    if call is services.GET_MODEL_STATUS:
        return None
    try:
        spec = first_message(response, call.response, "model_spec", within="results")
        return m.version_of(m.ModelSpec.FromString(spec))
    except (MalformedError, DecodeError):
        return None  # the caller gets the response all the same


def _fail(
    rpc: ServicerContext, code: grpc.StatusCode, detail: str, error: GatewayError | None = None
) -> bytes:
    """End a call with a status, and when to try again (gRPC's proposal A6); returns what is not sent.

    Not by gRPC's `context.abort`: the context keeps the exception that it raises, whose frames hold the
    context. The garbage collector does not track gRPC's objects, so such a reference cycle is never freed.
    """
    rpc.set_code(code)
    rpc.set_details(detail)
    if error is not None and error.retry_after is not None:
        rpc.set_trailing_metadata((("grpc-retry-pushback-ms", str(error.retry_after * 1000)),))
    return b""
