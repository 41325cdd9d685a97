"""Over gRPC the client reads a version's warnings from its card: once, and no response is lost for it."""

import json
import time
from typing import Any

import pytest
from played_plans import play

from keraserve_client import _cards as cards
from keraserve_client import _errors as errors
from keraserve_client import _steps as steps
from keraserve_client import _wire_grpc as wire_grpc
from keraserve_client._images import EncodedImage
from keraserve_client._plans import Target
from keraserve_protocol import messages as m
from keraserve_protocol import services, tensors

WARNING = "Trained on procedural images, which mean nothing."


def card(content: Any) -> m.PredictResponse:
    response = m.PredictResponse()
    response.outputs["json"].CopyFrom(tensors.to_proto(content))
    return response


def response(version: int = 3) -> m.ClassificationResponse:
    response = m.ClassificationResponse(model_spec=m.model_spec("a", version=version))
    response.result.classifications.add().classes.add(label="red", score=1)
    return response


def classified(plans: wire_grpc.GrpcPlans, *outcomes: Any) -> tuple[list[Any], Any]:
    """Classify with these outcomes; gives the requests with their time limits, and the result."""
    plan = plans.classify(Target("a"), [EncodedImage(b"png")], 1)
    sent, result = play(steps.carry_out(plan, steps.Retry(), steps.Deadline(30)), *outcomes, throw=False)
    return [(step.request, step.seconds) for step in sent], result


def test_the_card_of_a_version_is_requested_once() -> None:
    plans = wire_grpc.GrpcPlans()
    warning = card(json.dumps({"warnings": [WARNING]}).encode())
    for version in (3, 4):
        [_, (request, seconds)], [prediction] = classified(plans, response(version), warning)
        assert prediction.warnings == (WARNING,)
        assert request.call is services.PREDICT
        spec = request.message.model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == ("a", version, "model_card")
        assert list(request.message.output_filter) == ["json"]
        assert seconds <= 1
        _, [again] = classified(plans, response(version))
        assert again.warnings == (WARNING,)


@pytest.mark.parametrize(
    "given",
    [
        errors.BadRequest("no such signature", status_code=400),
        errors.StatusError("no such call", status_code=501),
        m.PredictResponse(),
        m.ClassificationResponse(),
        card(b"no JSON"),
        card(b"[]"),
        card(b'{"warnings": 7}'),
        card(b"\xff"),
        card([b"{}", b"{}"]),
        card([1.5]),
        card(b"[" * 100_000),
    ],
)
def test_a_model_without_a_card_has_no_warnings(given: Any) -> None:
    plans = wire_grpc.GrpcPlans()
    assert classified(plans, response(), given)[1][0].warnings == ()
    assert classified(plans, response())[1][0].warnings == ()


@pytest.mark.parametrize(
    "given",
    [
        errors.Unavailable("away", status_code=503),
        errors.TooManyRequests("busy", status_code=429),
        errors.DeadlineExceeded("no response within 1 s"),
        errors.ConnectionFailed("no server responds"),
        errors.NotFound("unloaded", status_code=404),
    ],
)
def test_a_card_that_was_not_to_be_had_is_requested_again_later(
    given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = wire_grpc.GrpcPlans()
    assert classified(plans, response(), given)[1][0].warnings == ()
    assert classified(plans, response())[1][0].warnings == ()  # not at once
    now = time.monotonic()
    monkeypatch.setattr(cards.time, "monotonic", lambda: now + 31)
    found = card(json.dumps({"warnings": [WARNING]}).encode())
    assert classified(plans, response(), found)[1][0].warnings == (WARNING,)


def test_a_classification_in_time_is_returned_without_its_card() -> None:
    plans = wire_grpc.GrpcPlans()
    plan = plans.classify(Target("a"), [EncodedImage(b"png")], 1)
    deadline = steps.Deadline(0.05)
    running = steps.carry_out(plan, steps.Retry(), deadline)
    next(running)
    while deadline.left() > 0:
        time.sleep(0.01)
    with pytest.raises(StopIteration) as done:
        running.send(response())
    assert done.value.value[0].best.label == "red"


def test_a_response_that_does_not_say_its_version_is_refused() -> None:
    with pytest.raises(errors.InvalidResponse, match="does not say which version"):
        classified(wire_grpc.GrpcPlans(), m.ClassificationResponse(result=response().result))
