"""TensorFlow Serving's gRPC calls: their paths, client stubs and server handlers.

The paths are TensorFlow Serving's own (`/tensorflow.serving.PredictionService/Predict`), so these stubs
talk to `tensorflow_model_server`, and its clients talk to servers built with `handlers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import grpc
import grpc.aio

from keraserve_protocol import messages as m

Request = TypeVar("Request", bound=m.Message)
Response = TypeVar("Response", bound=m.Message)

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
HEALTH_SERVICES = ("", "ModelService", "PredictionService", MODEL_SERVICE, PREDICTION_SERVICE)
"""What grpc.health.v1 can be asked for: "" is the server, the short names are TensorFlow Serving's."""


@dataclass(frozen=True)
class Call(Generic[Request, Response]):
    """One unary call: `/service/name`, and its two messages."""

    service: str
    name: str
    request: type[Request]
    response: type[Response]

    @property
    def path(self) -> str:
        """The HTTP/2 path."""
        return f"/{self.service}/{self.name}"

    def on(self, channel: grpc.Channel) -> grpc.UnaryUnaryMultiCallable[Request, Response]:
        """Bind the call to a channel."""
        return self._bound(channel)

    def on_async(self, channel: grpc.aio.Channel) -> grpc.aio.UnaryUnaryMultiCallable[Request, Response]:
        """Bind the call to an asyncio channel."""
        return self._bound(channel)

    def _bound(self, channel: Any) -> Any:
        return channel.unary_unary(
            self.path,
            request_serializer=self.request.SerializeToString,
            response_deserializer=self.response.FromString,
        )


def closed_by_server(code: grpc.StatusCode, details: str) -> bool:
    """Tell whether a server that stops closed a call without choosing a status.

    Calls end like this that no handler has taken up (https://github.com/grpc/grpc/issues/41785), and those
    that run longer than the server waits for them.
    """
    return code is grpc.StatusCode.CANCELLED and details == "CANCELLED"


PREDICT = Call(PREDICTION_SERVICE, "Predict", m.PredictRequest, m.PredictResponse)
CLASSIFY = Call(PREDICTION_SERVICE, "Classify", m.ClassificationRequest, m.ClassificationResponse)
REGRESS = Call(PREDICTION_SERVICE, "Regress", m.RegressionRequest, m.RegressionResponse)
MULTI_INFERENCE = Call(
    PREDICTION_SERVICE, "MultiInference", m.MultiInferenceRequest, m.MultiInferenceResponse
)
GET_MODEL_METADATA = Call(
    PREDICTION_SERVICE, "GetModelMetadata", m.GetModelMetadataRequest, m.GetModelMetadataResponse
)
GET_MODEL_STATUS = Call(MODEL_SERVICE, "GetModelStatus", m.GetModelStatusRequest, m.GetModelStatusResponse)
RELOAD_CONFIG = Call(
    MODEL_SERVICE, "HandleReloadConfigRequest", m.ReloadConfigRequest, m.ReloadConfigResponse
)

CALLS: tuple[Call[Any, Any], ...] = (
    PREDICT,
    CLASSIFY,
    REGRESS,
    MULTI_INFERENCE,
    GET_MODEL_METADATA,
    GET_MODEL_STATUS,
    RELOAD_CONFIG,
)
BY_PATH = {call.path: call for call in CALLS}


class Stub:
    """The calls on one channel: `Stub(grpc.insecure_channel("localhost:8500")).predict(request)`."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.predict = PREDICT.on(channel)
        self.classify = CLASSIFY.on(channel)
        self.regress = REGRESS.on(channel)
        self.multi_inference = MULTI_INFERENCE.on(channel)
        self.get_model_metadata = GET_MODEL_METADATA.on(channel)
        self.get_model_status = GET_MODEL_STATUS.on(channel)
        self.reload_config = RELOAD_CONFIG.on(channel)


class AsyncStub:
    """The calls on one `grpc.aio` channel; each returns an awaitable."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.predict = PREDICT.on_async(channel)
        self.classify = CLASSIFY.on_async(channel)
        self.regress = REGRESS.on_async(channel)
        self.multi_inference = MULTI_INFERENCE.on_async(channel)
        self.get_model_metadata = GET_MODEL_METADATA.on_async(channel)
        self.get_model_status = GET_MODEL_STATUS.on_async(channel)
        self.reload_config = RELOAD_CONFIG.on_async(channel)


def handlers(
    implementations: Mapping[Call[Any, Any], Any], *, streamed: bool = False
) -> list[grpc.GenericRpcHandler[Any, Any]]:
    """Make the handlers of a server: one for each service, with the calls that are implemented.

    Args:
        implementations: for each call a function of `(request, context)`, async if the server is.
            The status of a missing call is UNIMPLEMENTED.
        streamed: the functions get an iterator over the request's bytes, one item, and so decide how long
            they wait for it; callers see no difference.
    """
    make = "stream_unary_rpc_method_handler" if streamed else "unary_unary_rpc_method_handler"
    services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for call, function in implementations.items():
        services.setdefault(call.service, {})[call.name] = getattr(cast(Any, grpc), make)(
            function,
            request_deserializer=None if streamed else call.request.FromString,
            response_serializer=call.response.SerializeToString,
        )
    return [
        cast(Any, grpc).method_handlers_generic_handler(name, methods) for name, methods in services.items()
    ]
