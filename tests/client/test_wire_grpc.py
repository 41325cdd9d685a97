"""The gRPC wire code: the messages of requests, and how responses and statuses are read."""

from typing import Any

import grpc
import pytest
from played_plans import play

from keraserve_client import _errors as errors
from keraserve_client import _wire_grpc as wire_grpc
from keraserve_client._images import EncodedImage
from keraserve_client._plans import Target
from keraserve_protocol import messages as m


@pytest.mark.parametrize(
    ("code", "details", "kind", "status"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; …", errors.ConnectionFailed, None),
        ("CANCELLED", "CANCELLED", errors.ConnectionFailed, None),
        ("UNAVAILABLE", "the model is loading", errors.Unavailable, 503),
        ("RESOURCE_EXHAUSTED", "SERVER: Received message larger than max (5 vs. 4)", errors.TooLarge, 413),
        ("RESOURCE_EXHAUSTED", "slow down", errors.TooManyRequests, 429),
        ("INVALID_ARGUMENT", "bad", errors.BadRequest, 400),
        ("NOT_FOUND", "", errors.NotFound, 404),
        ("UNAUTHENTICATED", "key", errors.NotAuthorized, 401),
        ("INTERNAL", "oops", errors.StatusError, 500),
        ("DEADLINE_EXCEEDED", "late", errors.DeadlineExceeded, 504),
    ],
)
def test_grpc_codes_are_the_same_errors(code: str, details: str, kind: type, status: int | None) -> None:
    error = wire_grpc.error_of(grpc.StatusCode[code], details, [("x-request-id", "r")], "here")
    assert (type(error), error.status_code) == (kind, status)
    assert error.detail
    assert error.request_id == (None if status in (None, 413) else "r")


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [
        ({"grpc-retry-pushback-ms": "1500"}, 1.5),
        ({"grpc-retry-pushback-ms": "-1", "retry-after": "2"}, 2),
        ({"retry-after": "7"}, 7),
        ({"grpc-status-details-bin": b"\xff", "grpc-retry-pushback-ms": "²"}, None),
    ],
)
def test_retry_after_is_read_from_the_metadata(metadata: dict[str, Any], seconds: float | None) -> None:
    error = wire_grpc.error_of(grpc.StatusCode.UNAVAILABLE, "later", metadata.items(), "here")
    assert error.retry_after == seconds


def test_the_health_check_has_the_bytes_of_grpcs_own() -> None:
    health = pytest.importorskip("grpc_health.v1.health_pb2")
    plans = wire_grpc.GrpcPlans()
    request = next(plans.ready())
    assert request.call.path == "/grpc.health.v1.Health/Check"
    assert request.message.SerializeToString() == health.HealthCheckRequest().SerializeToString()
    for status, ready in ((1, True), (2, False), (0, False)):
        reply = health.HealthCheckResponse(status=status).SerializeToString()
        assert play(plans.ready(), request.call.response.FromString(reply))[1] is ready
    assert play(plans.ready(), errors.StatusError("no such service", status_code=501))[1] is True


def test_an_empty_or_wrong_message_is_an_invalid_response() -> None:
    plans = wire_grpc.GrpcPlans()
    for plan, reply in (
        (plans.metadata(Target("a")), m.GetModelMetadataResponse()),
        (plans.classify(Target("a"), [EncodedImage(b"")], 1), m.ClassificationResponse()),
        (plans.status(Target("a")), m.PredictResponse()),
    ):
        next(plan)
        with pytest.raises(errors.InvalidResponse):
            plan.send(reply)


def test_equal_classes_stay_in_order_and_top_k_cuts() -> None:
    plans = wire_grpc.GrpcPlans()
    response = m.ClassificationResponse(model_spec=m.model_spec("a", version=5))
    one = response.result.classifications.add()
    for label, score in (("a", 0.25), ("b", 0.5), ("c", 0.25)):
        one.classes.add(label=label, score=score)
    plan = plans.classify(Target("a"), [EncodedImage(b"png")], 2)
    [request, _], [prediction] = play(plan, response, m.PredictResponse())
    example = m.Example.FromString(request.message.input.example_list.examples[0])
    assert example.features.feature["image/encoded"].bytes_list.value == [b"png"]
    assert request.message.model_spec.signature_name == "classify"
    assert [entry.label for entry in prediction.classes] == ["b", "a"]
    assert prediction.version == 5
