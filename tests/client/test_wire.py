"""The HTTP wire code: the bytes of requests, and how responses, right and wrong ones, are read."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
from played_plans import play
from python_multipart.multipart import MultipartParser

import keraserve_client
from keraserve_client import _errors as errors
from keraserve_client import _wire as wire
from keraserve_client._images import EncodedImage
from keraserve_client._plans import Target
from keraserve_client._wire import HttpRequest, HttpResponse
from keraserve_protocol import open_inference
from keraserve_protocol.tensors import from_proto

PLANS = wire.HttpPlans()


def response(document: Any) -> HttpResponse:
    return HttpResponse(200, {}, json.dumps(document).encode())


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (Target("a"), "/v1/models/a"),
        (Target("a", version=0), "/v1/models/a/versions/0"),
        (Target("a", label="sta?ble"), "/v1/models/a/labels/sta%3Fble"),
        (Target("..é:x?"), "/v1/models/..%C3%A9%3Ax%3F"),
    ],
)
def test_a_path_is_quoted(target: Target, path: str) -> None:
    assert next(PLANS.status(target)) == HttpRequest("GET", path)


@pytest.mark.parametrize("name", [".", "..", "a/versions/1", ""])
def test_a_label_that_would_name_another_version_is_rejected(name: str) -> None:
    with pytest.raises(errors.InvalidInput, match="can't be a model or label in a URL"):
        next(PLANS.status(Target("a", label=name)))


@pytest.mark.parametrize("name", [".", "..", "a/versions/1"])
def test_a_model_that_would_name_another_one_is_rejected(name: str) -> None:
    with pytest.raises(errors.InvalidInput, match="can't be a model or label in a URL"):
        next(PLANS.status(Target(name)))


def test_a_name_that_is_not_utf_8_is_rejected() -> None:
    for given in ({"model": "\udcff"}, {"model": "a", "label": "\udcff"}):
        with pytest.raises(errors.InvalidInput, match="is not UTF-8"):
            Target(**given)


@pytest.mark.parametrize(
    "wrong", [{"model": ""}, {"model": "a", "version": 1, "label": "b"}, {"model": "a", "version": -1}]
)
def test_an_invalid_target_is_rejected(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidInput):
        Target(**wrong)


def test_one_image_is_the_body() -> None:
    document = {
        "model": "a",
        "version": 2,
        "predictions": [{"filename": None, "classes": [{"label": "x", "probability": 1}]}],
    }
    image = EncodedImage(b"GIF89a", "x.gif")
    [request], [prediction] = play(PLANS.classify(Target("a"), [image], 3), response(document))
    assert request == HttpRequest(
        "POST", "/v1/models/a/images:classify?top_k=3&strict=true", b"GIF89a", "image/gif"
    )
    assert prediction == keraserve_client.Prediction("x.gif", (keraserve_client.Class("x", 1.0),), "a", 2)


def test_several_images_are_a_multipart_body() -> None:
    images = [
        EncodedImage(b"\xff\xd8\xff\r\n--x", 'a"b\r\n.jpg'),
        EncodedImage(b"GIF89a"),
        EncodedImage(b"", "größe.png"),
    ]
    body, media_type = wire.multipart(images, "x7")
    assert media_type == "multipart/form-data; boundary=x7"
    parts: list[bytearray] = []
    headers: list[bytes] = []
    parser = MultipartParser(
        b"x7",
        {
            "on_part_begin": lambda: parts.append(bytearray()),
            "on_part_data": lambda data, start, end: parts[-1].extend(data[start:end]),
            "on_header_value": lambda data, start, end: headers.append(data[start:end]),
        },
    )
    parser.write(body)
    parser.finalize()
    assert [bytes(part) for part in parts] == [image.data for image in images]
    assert headers == [
        b'form-data; name="images"; filename="a%22b%0D%0A.jpg"', b"image/jpeg",
        b'form-data; name="images"; filename="image-1"', b"image/gif",
        'form-data; name="images"; filename="größe.png"'.encode(), b"application/octet-stream",
    ]  # fmt: skip


@pytest.mark.parametrize("call", ["classify", "models", "status", "metadata"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b"null",
        b'{"models": 1}',
        b"\xff",
        b'{"model_version_status":[{}]}',
        b"[" * 99999,
        b'{"model_version_status":[{"version":1e999}]}',
        b'{"predictions":[{"classes":[]}],"version":1e999,"model":1}',
    ],
)
def test_a_response_of_another_form_is_invalid(call: str, body: bytes) -> None:
    plan = {
        "classify": lambda: PLANS.classify(Target("a"), [EncodedImage(b"")], 1),
        "models": PLANS.models,
        "status": lambda: PLANS.status(Target("a")),
        "metadata": lambda: PLANS.metadata(Target("a")),
    }[call]()
    next(plan)
    with pytest.raises(errors.InvalidResponse, match="is the address right") as caught:
        plan.send(HttpResponse(200, {"x-request-id": "r"}, body))
    assert caught.value.request_id == "r"


def test_fewer_predictions_than_images_are_invalid() -> None:
    plan = PLANS.classify(Target("a"), [EncodedImage(b""), EncodedImage(b"")], 1)
    next(plan)
    with pytest.raises(errors.InvalidResponse):
        plan.send(response({"model": "a", "version": 1, "predictions": []}))


METADATA = {
    "model_spec": {"name": "a", "signature_name": "", "version": "4"},
    "metadata": {
        "signature_def": {
            "signature_def": {
                "serving_default": {
                    "inputs": {
                        "x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1", "name": ""}]}},
                        "s": {"dtype": "DT_STRING", "tensor_shape": {"dim": [], "unknown_rank": True}},
                    },
                    "outputs": {
                        "y": {"dtype": "DT_HALF", "tensor_shape": {"dim": [{"size": "2"}]}},
                        "raw_bytes": {"dtype": "DT_STRING", "tensor_shape": {}},
                    },
                    "method_name": "tensorflow/serving/predict",
                },
                "__saved_model_init_op": {"inputs": {}, "outputs": {}, "method_name": ""},
            }
        }
    },
}


def tensors_response(described: list[dict[str, Any]], data: bytes) -> HttpResponse:
    header = json.dumps({"model_name": "a", "model_version": "4", "outputs": described}).encode()
    return HttpResponse(200, {"inference-header-content-length": str(len(header))}, header + data)


HALVES = {"name": "y", "datatype": "FP16", "shape": [2], "parameters": {"binary_data_size": 4}}
RAW = {"name": "raw_bytes", "datatype": "BYTES", "shape": [], "parameters": {"binary_data_size": 6}}


def test_predict_gets_the_metadata_once() -> None:
    plans = wire.HttpPlans()
    halves = np.array([0.5, np.nan], np.float16)
    outputs = tensors_response([RAW, HALVES], b"\x02\0\0\0\x00\xff" + halves.tobytes())
    inputs = {"x": [1, 2], "s": "größe"}
    requests, result = play(
        plans.predict(Target("a"), inputs, "serving_default"), response(METADATA), outputs
    )
    assert requests[0] == HttpRequest("GET", "/v1/models/a/metadata")
    assert requests[1].path == "/v2/models/a/infer"
    inference = open_inference.parse(requests[1].body, requests[1].json_length)  # as the gateway reads it
    assert (inference.signature, inference.binary) == ("serving_default", True)
    assert from_proto(inference.inputs["x"]).tolist() == [1.0, 2.0]
    assert from_proto(inference.inputs["s"]).tolist() == "größe".encode()
    assert result["y"].dtype == np.float16
    np.testing.assert_array_equal(result["y"], halves)
    assert result["raw_bytes"].shape == ()
    assert result["raw_bytes"].item() == b"\x00\xff"
    [request], _ = play(plans.predict(Target("a"), inputs, "serving_default"), outputs)
    assert request.path == "/v2/models/a/infer"


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (Target("a", version=0), "/v2/models/a/versions/0/infer"),
        (Target("a", label="7"), "/v2/models/a/labels/7/infer"),
    ],
)
def test_predict_names_a_version_by_number_or_label(target: Target, path: str) -> None:
    plan = wire.HttpPlans().predict(target, {"x": [1], "s": b""}, "serving_default")
    next(plan)
    assert plan.send(response(METADATA)).path == path


@pytest.mark.parametrize(
    "wrong",
    [
        response({"outputs": {"y": [0.5, 1]}}),
        response({"outputs": [{"name": "y", "datatype": "FP16", "shape": [2], "data": [0.5, 1]}]}),
        tensors_response([HALVES, RAW], b"\0" * 4),
        tensors_response([HALVES, RAW], b"\0" * 4 + b"\x02\0\0\0\x00\xff" + b"more"),
        tensors_response([{**HALVES, "shape": [3]}, RAW], b"\0" * 4 + b"\x02\0\0\0\x00\xff"),
        tensors_response([{**HALVES, "datatype": "FP12"}, RAW], b"\0" * 4 + b"\x02\0\0\0\x00\xff"),
        tensors_response([HALVES], b"\0" * 4),
        HttpResponse(200, {}, b"<html>"),
    ],
)
def test_a_response_without_the_signatures_outputs_is_invalid(wrong: HttpResponse) -> None:
    plan = wire.HttpPlans().predict(Target("a"), {"x": [1], "s": b""}, "serving_default")
    next(plan)
    plan.send(response(METADATA))
    with pytest.raises(errors.InvalidResponse):
        plan.send(wrong)


def test_a_rejected_predict_forgets_the_metadata() -> None:
    plans = wire.HttpPlans()
    plan = plans.predict(Target("a"), {"x": [1], "s": b""}, "serving_default")
    next(plan)
    plan.send(response(METADATA))
    with pytest.raises(errors.BadRequest):
        plan.throw(errors.BadRequest("changed", status_code=400))
    assert next(plans.predict(Target("a"), {}, "serving_default")).path.endswith("/metadata")


def rejected(status: int, body: bytes = b"", **headers: str) -> Any:
    return wire.accept(
        HttpResponse(status, {key.replace("_", "-"): value for key, value in headers.items()}, body)
    )


def test_errors_are_read_in_both_forms_and_without_a_document() -> None:
    tf = rejected(404, b'{"error": "no x"}', x_request_id="r1")
    assert (type(tf), str(tf)) == (errors.NotFound, "no x (404, request r1)")
    problem = rejected(413, b'{"title": "Too large", "detail": "17 MB", "request_id": "r2", "status": 413}')
    assert (type(problem), problem.detail, problem.request_id) == (errors.TooLarge, "17 MB", "r2")
    assert rejected(502, b"<html>").detail == "the server responded with Bad Gateway"
    assert rejected(599, b"[]").detail == "the server responded with an unknown status"
    assert rejected(301, location="https://x/").detail == "the server redirects to https://x/"
    assert rejected(503, b"", retry_after="7").retry_after == 7
    assert isinstance(rejected(204), HttpResponse)


def test_retry_after_is_read_as_seconds_or_a_date() -> None:
    assert wire.seconds("12") == 12
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert wire.seconds(later) == pytest.approx(30, abs=2)
    assert wire.seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert wire.seconds("soon") is None
    assert wire.seconds("-3") is None
    assert wire.seconds(None) is None
