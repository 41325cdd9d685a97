"""The calls over gRPC: messages of TensorFlow Serving's PredictionService and ModelService. No I/O."""

import re
from collections.abc import Iterable, Mapping

import grpc
import numpy as np
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from keraserve_client._cards import Cards
from keraserve_client._errors import (
    ConnectionFailed,
    InvalidResponse,
    KeraserveError,
    NotSupported,
    TooLarge,
    of_status,
)
from keraserve_client._images import EncodedImage
from keraserve_client._plans import Plans, Target, best, signatures_of
from keraserve_client._rpc import Rpc, send
from keraserve_client._steps import Plan
from keraserve_client._tensors import Tensors
from keraserve_client._types import (
    Class,
    Explanation,
    Failure,
    Metadata,
    Model,
    ModelStatus,
    Prediction,
    Signature,
    State,
    VersionStatus,
)
from keraserve_client._wire import seconds
from keraserve_protocol import messages as m
from keraserve_protocol import services
from keraserve_protocol.rest import HTTP_STATUS, shortest
from keraserve_protocol.signatures import CLASSIFY, EXPLAIN, IMAGE_BYTES, LABEL, MAP, PROBABILITY
from keraserve_protocol.tensors import TensorError, from_proto, to_proto

# Each message of grpc.health.v1 has one field, so it has the same bytes as one of these well-known types.
HEALTH = services.Call("grpc.health.v1.Health", "Check", StringValue, Int32Value)
_SERVING = 1


class GrpcPlans(Plans[Rpc, m.Message]):
    """TensorFlow Serving's gRPC API."""

    def __init__(self) -> None:
        super().__init__()
        self._cards = Cards()

    def classify(
        self, target: Target, images: list[EncodedImage], top_k: int
    ) -> Plan[Rpc, m.Message, list[Prediction]]:
        """Classify, with the signature `classify` and one tf.Example for each image."""
        examples = m.ExampleList(examples=[_example(image.data) for image in images])
        request = m.ClassificationRequest(
            model_spec=_spec(target, CLASSIFY), input=m.Input(example_list=examples)
        )
        response = yield from send(services.CLASSIFY, request)
        found = response.result.classifications
        if len(found) != len(images):
            raise InvalidResponse(f"{len(found)} classifications of {len(images)} images")
        version = _version(response)
        warnings = yield from self._cards.warnings(target.model, version)
        return [
            Prediction(
                filename=image.filename,
                classes=tuple(
                    Class(label, shortest(score))  # the digits that a float32 has, as the gateway writes it
                    for label, score in best([(c.label, c.score) for c in classification.classes], top_k)
                ),
                model=target.model,
                version=version,
                warnings=warnings,
            )
            for image, classification in zip(images, found, strict=True)
        ]

    def _classify_some(
        self, target: Target, images: list[EncodedImage], top_k: int
    ) -> Plan[Rpc, m.Message, list[Prediction | Failure]]:
        return [*(yield from self.classify(target, images, top_k))]

    def explain(
        self, target: Target, images: list[EncodedImage], class_label: str
    ) -> Plan[Rpc, m.Message, list[Explanation]]:
        """Predict, with the signature `explain`."""
        inputs = {
            IMAGE_BYTES: to_proto([image.data for image in images]),
            LABEL: to_proto([class_label] * len(images)),
        }
        request = m.PredictRequest(model_spec=_spec(target, EXPLAIN), inputs=inputs)
        response = yield from send(services.PREDICT, request)
        try:
            maps, labels, probabilities = (
                from_proto(response.outputs[name]) for name in (MAP, LABEL, PROBABILITY)
            )
            found = [
                (
                    label.decode(),
                    shortest(float(probability)),
                    np.array(one, np.float32).reshape(len(one), -1),
                )
                for one, label, probability in zip(maps, labels, probabilities, strict=True)
            ]
        except (TensorError, ValueError, TypeError, AttributeError) as error:
            raise InvalidResponse("the response has no maps in it") from error
        if len(found) != len(images):
            raise InvalidResponse(f"{len(found)} maps of {len(images)} images")
        version = _version(response)
        warnings = yield from self._cards.warnings(target.model, version)
        return [
            Explanation(image.filename, label, probability, map_, target.model, version, warnings)
            for image, (label, probability, map_) in zip(images, found, strict=True)
        ]

    def models(self) -> Plan[Rpc, m.Message, list[Model]]:
        """Raise NotSupported: TensorFlow Serving's gRPC API has no such call."""
        raise NotSupported(
            "TensorFlow Serving's gRPC API can't list models: "
            "list them over HTTP (Client), or get the status of one model"
        )

    def status(self, target: Target) -> Plan[Rpc, m.Message, ModelStatus]:
        """GetModelStatus."""
        request = m.GetModelStatusRequest(model_spec=_spec(target))
        response = yield from send(services.GET_MODEL_STATUS, request)
        versions: list[VersionStatus] = []
        for entry in response.model_version_status:
            state = _state(entry.state)
            warnings: tuple[str, ...] = ()
            if state is State.AVAILABLE:
                warnings = yield from self._cards.warnings(target.model, entry.version)
            versions.append(VersionStatus(entry.version, state, entry.status.error_message, warnings))
        return ModelStatus(target.model, tuple(sorted(versions, key=lambda entry: -entry.version)))

    def metadata(self, target: Target) -> Plan[Rpc, m.Message, Metadata]:
        """GetModelMetadata."""
        request = m.GetModelMetadataRequest(model_spec=_spec(target), metadata_field=[m.SIGNATURE_DEF])
        response = yield from send(services.GET_MODEL_METADATA, request)
        try:
            signatures = signatures_of(m.unpack_signatures(response))
        except ValueError as error:
            raise InvalidResponse("the response has no signatures in it") from error
        return Metadata(target.model, _version(response), signatures)

    def ready(self) -> Plan[Rpc, m.Message, bool]:
        """Call the health service; a server that responds that it has none is ready."""
        try:
            response = yield from send(HEALTH, StringValue())
        except KeraserveError as error:
            return error.status_code == HTTP_STATUS[grpc.StatusCode.UNIMPLEMENTED]
        return response.value == _SERVING

    def _predict(self, target: Target, inputs: Tensors, name: str) -> Plan[Rpc, m.Message, Tensors]:
        request = m.PredictRequest(model_spec=_spec(target, name), inputs=inputs)
        response = yield from send(services.PREDICT, request)
        return response.outputs

    def _check(self, signature: Signature) -> None:
        """Nothing: TensorFlow's messages carry every type."""


def _version(
    response: m.ClassificationResponse | m.PredictResponse | m.GetModelMetadataResponse,
) -> int:
    version = m.version_of(response.model_spec)
    if version is None:
        raise InvalidResponse("the response does not say which version it is from")
    return version


def error_of(
    code: grpc.StatusCode, details: str, metadata: Iterable[tuple[str, str | bytes]], address: str
) -> KeraserveError:
    """Make the error that a status means.

    Args:
        code: the status.
        details: the server's message, or gRPC's own if no server was reached.
        metadata: of the response, initial and trailing: `x-request-id`, and when to retry, as
            `grpc-retry-pushback-ms` (gRPC proposal A6) or as HTTP's `retry-after`.
        address: the server's, for the message.
    """
    if code is grpc.StatusCode.UNAVAILABLE and _NO_SERVER.match(details):
        lasting = "CERTIFICATE_VERIFY_FAILED" in details
        return ConnectionFailed(f"no server responds at {address}: {_cause(details)}", lasting=lasting)
    if services.closed_by_server(code, details):
        return ConnectionFailed(f"the server at {address} stopped before it responded")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in details:
        return TooLarge(details, status_code=413)  # a retry would not make it smaller
    told = {key: value for key, value in metadata if isinstance(value, str)}
    return of_status(
        HTTP_STATUS.get(code, 500),
        details or code.name,
        request_id=told.get("x-request-id"),
        retry_after=_retry_after(told),
    )


def _retry_after(told: Mapping[str, str]) -> float | None:
    pushback = told.get("grpc-retry-pushback-ms", "")
    if pushback.isascii() and pushback.isdigit():
        return int(pushback) / 1000
    return seconds(told.get("retry-after"))


# gRPC's own messages if no server was reached; nothing else tells them from a server's.
_NO_SERVER = re.compile(
    "failed to connect|errors resolving|name resolution|socket closed|connection reset|recvmsg|endpoint"
    "|broken pipe|goaway|stream removed|transport|connection",
    re.IGNORECASE,
)
_CAUSE = re.compile("connection refused|domain name not found|connection reset|socket closed", re.IGNORECASE)


def _cause(details: str) -> str:
    known = _CAUSE.search(details)
    return known.group().lower() if known else details


def _spec(target: Target, signature: str | None = None) -> m.ModelSpec:
    return m.model_spec(target.model, version=target.version, label=target.label, signature=signature)


def _example(encoded: bytes) -> bytes:
    features = m.Features(feature={"image/encoded": m.Feature(bytes_list=m.BytesList(value=[encoded]))})
    return m.Example(features=features).SerializeToString()


def _state(state: int) -> State:
    try:
        return State(m.ModelVersionStatus.State.Name(state))
    except ValueError:
        return State.UNKNOWN
