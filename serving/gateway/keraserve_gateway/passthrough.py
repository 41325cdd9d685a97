"""TensorFlow Serving's two gRPC services on the gateway's own port, passed through as bytes.

Nothing is parsed: request and answer go by as they came, the deadline and the status with them.
"""

import uuid
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio
import structlog

from keraserve_gateway.admission import Admission
from keraserve_gateway.deadline import Deadline, Trip
from keraserve_gateway.errors import Forbidden, GatewayError
from keraserve_gateway.exchange import REQUEST_ID, valid_id
from keraserve_gateway.model_server import MAX_MESSAGE_BYTES, ModelServer
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

OPTIONS: list[tuple[str, int]] = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # a port in use is an error, not a port to share
]


class PassThrough(Handler):
    """Handles every call of `PredictionService` and `ModelService`; others are UNIMPLEMENTED."""

    def __init__(self, server: ModelServer, admission: Admission, deadline_seconds: float) -> None:
        self._server = server
        self._admission = admission
        self._seconds = deadline_seconds

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """Give the handler of a call, by its path."""
        path = handler_call_details.method
        if path not in _PATHS:
            return None

        async def forward(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            return await self._forward(path, request, context)

        # Without (de)serializers the handler is given bytes, and gives bytes.
        return cast(Any, grpc).unary_unary_rpc_method_handler(forward)

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
                with self._admission.enter():
                    answer = await self._server.call(path, request, trip.timeout, trip.metadata)
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


def make_server(
    address: str, server: ModelServer, admission: Admission, deadline_seconds: float
) -> "grpc.aio.Server":
    """Make the gRPC server; to be started by the caller.

    Raises:
        RuntimeError: the address can't be listened on.
    """
    front: Any = cast(Any, grpc.aio).server(options=OPTIONS)
    front.add_generic_rpc_handlers((PassThrough(server, admission, deadline_seconds),))
    front.add_insecure_port(address)
    return front
