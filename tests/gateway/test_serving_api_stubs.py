"""TensorFlow Serving's own client library, `tensorflow-serving-api`, through the gateway's gRPC port."""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before TensorFlow is imported

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

TWO = {"name": "half_plus_two"}
Stubs = tuple[prediction_service_pb2_grpc.PredictionServiceStub, model_service_pb2_grpc.ModelServiceStub]


def stubs(channel: grpc.Channel) -> Stubs:
    prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return prediction, model_service_pb2_grpc.ModelServiceStub(channel)


@pytest.fixture(scope="module")
def front(stack: Any) -> Iterator[Stubs]:
    with grpc.insecure_channel(stack.grpc) as channel:
        yield stubs(channel)


@pytest.fixture(scope="module")
def behind(stack: Any) -> Iterator[Stubs]:
    """The model server itself, for comparison."""
    with grpc.insecure_channel(stack.model_server) as channel:
        yield stubs(channel)


def examples(*xs: float) -> input_pb2.Input:
    given = input_pb2.Input()
    for x in xs:
        given.example_list.examples.add().features.feature["x"].float_list.value.append(x)
    return given


def predicting(spec: dict[str, Any], value: Any = ((1.0,), (2.0,)), name: str = "x", **more: Any) -> Any:
    request = predict_pb2.PredictRequest(model_spec=spec, **more)
    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


@pytest.mark.shows("Predict")
def test_every_call(front: Stubs, behind: Stubs) -> None:
    prediction, management = front
    response = prediction.Predict(predicting({**TWO, "version_label": "stable"}), timeout=20)
    assert tf.make_ndarray(response.outputs["y"]).tolist() == [[2.5], [3.0]]
    assert response.model_spec.version.value == 123
    spec = {**TWO, "signature_name": "classify_x_to_y"}
    request = classification_pb2.ClassificationRequest(model_spec=spec, input=examples(20))
    response = prediction.Classify(request)
    assert [one.score for one in response.result.classifications[0].classes] == [12.0]
    spec = {**TWO, "signature_name": "regress_x_to_y"}
    request = regression_pb2.RegressionRequest(model_spec=spec, input=examples(80))
    assert prediction.Regress(request).result.regressions[0].value == 42.0
    request = inference_pb2.MultiInferenceRequest(input=examples(10))
    for method, name in (("classify", "classify_x_to_y"), ("regress", "regress_x_to_y2")):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "half_plus_two", name
    classified, regressed = prediction.MultiInference(request).results
    assert classified.classification_result.classifications[0].classes[0].score == 7.0
    assert regressed.regression_result.regressions[0].value == 8.0
    request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=TWO, metadata_field=["signature_def"])
    assert prediction.GetModelMetadata(request) == behind[0].GetModelMetadata(request)
    status = get_model_status_pb2.GetModelStatusRequest(model_spec=TWO)
    assert management.GetModelStatus(status) == behind[1].GetModelStatus(status)
    with pytest.raises(grpc.RpcError) as rejected:
        management.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest())
    assert rejected.value.code() is grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]


WRONG = [
    predicting({"name": "half"}),
    predicting({**TWO, "version": {"value": 9}}),
    predicting({**TWO, "version_label": "none"}),
    predicting({**TWO, "signature_name": "none"}),
    predicting({}),
    predicting(TWO, name="z"),
    predicting(TWO, value=[[1, 2]]),
    predicting(TWO, value=[["a"]]),
    predicting(TWO, output_filter=["none"]),
    predict_pb2.PredictRequest(model_spec=TWO),
    classification_pb2.ClassificationRequest(model_spec=TWO, input=examples(1)),
    classification_pb2.ClassificationRequest(model_spec={**TWO, "signature_name": "classify_x_to_y"}),
    regression_pb2.RegressionRequest(
        model_spec={**TWO, "signature_name": "regress_x_to_y"}, input={"example_list": {"examples": [{}]}}
    ),
    inference_pb2.MultiInferenceRequest(
        tasks=[{"model_spec": TWO, "method_name": "none"}], input=examples(1)
    ),
    get_model_metadata_pb2.GetModelMetadataRequest(model_spec=TWO),
    get_model_metadata_pb2.GetModelMetadataRequest(model_spec=TWO, metadata_field=["none"]),
    get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "half"}),
    get_model_status_pb2.GetModelStatusRequest(model_spec={**TWO, "version": {"value": 9}}),
]
CALLS = {
    "PredictRequest": "Predict",
    "ClassificationRequest": "Classify",
    "RegressionRequest": "Regress",
    "MultiInferenceRequest": "MultiInference",
    "GetModelMetadataRequest": "GetModelMetadata",
    "GetModelStatusRequest": "GetModelStatus",
}


@pytest.mark.shows("Predict")
@pytest.mark.parametrize("request_", WRONG, ids=lambda request: type(request).__name__)
def test_every_rejection_equals_the_model_servers(front: Stubs, behind: Stubs, request_: Any) -> None:
    found = []
    for prediction, management in (front, behind):
        call = CALLS[type(request_).__name__]
        with pytest.raises(grpc.RpcError) as rejected:
            getattr(management if call == "GetModelStatus" else prediction, call)(request_, timeout=20)
        error: Any = rejected.value
        # For an unknown model, the gateway's own error names the known ones too.
        found.append((error.code(), error.details().partition("; known models: ")[0]))
    assert found[0] == found[1]
    assert found[0][1]


def test_metadata_deadline_and_compression(stack: Any, front: Stubs) -> None:
    request = predicting(TWO)
    _, call = front[0].Predict.with_call(request, metadata=(("x-request-id", "mine"),))
    assert ("x-request-id", "mine") in [(one.key, one.value) for one in call.initial_metadata()]
    long = predicting(TWO, value=tf.fill([1_000_000, 1], 2.0).numpy())  # gRPC's deadlines have milliseconds
    with pytest.raises(grpc.RpcError) as late:
        front[0].Predict(long, timeout=0.001)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    with grpc.insecure_channel(stack.grpc, compression=grpc.Compression.Gzip) as channel:
        response = stubs(channel)[0].Predict(predicting(TWO, value=[[2.0]] * 5000))
    assert len(tf.make_ndarray(response.outputs["y"])) == 5000
