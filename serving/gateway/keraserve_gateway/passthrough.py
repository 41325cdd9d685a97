"""TensorFlow Serving's two gRPC services on the gateway's own port, passed through as bytes.

Nothing is parsed: request and answer go by as they came, the deadline and the status with them.
"""

import uuid
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio
import structlog

from keraserve_gateway.connection import MAX_MESSAGE_BYTES
from keraserve_gateway.deadline import Deadline, Trip
from keraserve_gateway.errors import Forbidden, GatewayError
from keraserve_gateway.exchange import REQUEST_ID, Gateway, valid_id
from keraserve_gateway.predict import unready
from keraserve_gateway.statuses import grpc_status
from keraserve_protocol import services

if TYPE_CHECKING:
    Handler = grpc.GenericRpcHandler[bytes, bytes]
else:
    Handler = grpc.GenericRpcHandler  # not subscriptable when it runs

log = structlog.get_logger()

_PATHS = frozenset(call.path for call in services.CALLS)
# It makes the model server load what its caller names: for the operator, who can reach the model server.
_OPERATORS = frozenset({services.RELOAD_CONFIG.path})
# grpc.health.v1.Health/Check for the whole server; its answer's one field is the status, an enum of number 1.
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"

OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a port in use is an error, not a port to share
    ("grpc.max_connection_idle_ms", 10 * 60_000),
]


class PassThrough(Handler):
    """Handles `PredictionService`, `ModelService` and Health/Check; all else is UNIMPLEMENTED."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._seconds = gateway.settings.deadline_seconds

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """Give the handler of a call, by its path."""
        path = handler_call_details.method
        if path == _HEALTH:
            return cast(Any, grpc).unary_unary_rpc_method_handler(self._health)
        if path not in _PATHS:
            return None

        async def forward(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            return await self._forward(path, request, context)

        # Without (de)serializers the handler is given bytes, and gives bytes.
        return cast(Any, grpc).unary_unary_rpc_method_handler(forward)

    async def _health(self, _: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        """Answer as `/readyz` does."""
        gateway, request_id = self._gateway, self._trip(context).request_id
        reasons = await unready(gateway.server, gateway.configured, gateway.admission, request_id)
        return _NOT_SERVING if reasons else _SERVING

    async def _forward(
        self, path: str, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]"
    ) -> bytes:
        trip = self._trip(context)
        code, detail, answer = grpc.StatusCode.OK, "", b""
        with structlog.contextvars.bound_contextvars(request_id=trip.request_id):
            await context.send_initial_metadata(((REQUEST_ID, trip.request_id),))
            try:
                if path in _OPERATORS:
                    raise Forbidden("the gateway does not pass this call on; make it at the model server")
                with self._gateway.admission.enter():
                    answer = await self._gateway.server.call(path, request, trip.timeout, trip.metadata)
            except GatewayError as error:
                code, detail = grpc_status(error), error.detail
            except Exception:
                log.exception("unexpected error")
                code, detail = grpc.StatusCode.INTERNAL, f"an unexpected error; request id {trip.request_id}"
            spent = self._seconds - trip.timeout
            log.info("call", path=path, status=code.name, milliseconds=round(spent * 1000, 1))
        if code is not grpc.StatusCode.OK:
            await context.abort(code, detail)
        return answer

    def _trip(self, context: "grpc.aio.ServicerContext[bytes, bytes]") -> Trip:
        given = {key: value for key, value in context.invocation_metadata() or () if key == REQUEST_ID}
        request_id = valid_id(str(given.get(REQUEST_ID, ""))) or uuid.uuid4().hex
        left = cast("float | None", context.time_remaining())
        return Trip(
            Deadline.after(min(self._seconds, left if left is not None else self._seconds)), request_id
        )


def make_server(address: str, gateway: Gateway) -> "grpc.aio.Server":
    """Make the gRPC server; to be started by the caller. Messages may be as long as HTTP bodies.

    Raises:
        RuntimeError: the address can't be listened on.
    """
    longest = ("grpc.max_receive_message_length", gateway.settings.max_body_bytes)
    # A call counts from its first byte here, and as admitted once its message is whole: hence twice as many.
    front: Any = cast(Any, grpc.aio).server(
        options=[*OPTIONS, longest], maximum_concurrent_rpcs=2 * gateway.admission.limit
    )
    front.add_generic_rpc_handlers((PassThrough(gateway),))
    front.add_insecure_port(address)
    return front
