"""The embedded server with TensorFlow Serving's own client library."""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before TensorFlow is imported

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from keraserve_embedded.engine import Engine
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.process.cli import parse
from keraserve_embedded.process.server import Server


@pytest.fixture(scope="module")
def channel(models: Path) -> Iterator[grpc.Channel]:
    engine = Engine()
    engine.start([ModelEntry("colours", (models / "colours",), labels={"stable": 1})])
    server = Server(engine, parse(["--port=0", "--model_base_path=/unused", "--grpc_max_threads=4"]))
    with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as opened:
        yield opened
    server.drain()
    engine.stop()


@pytest.fixture(scope="module")
def prediction(channel: grpc.Channel) -> Any:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def test_predict(prediction: Any, red: bytes, green: bytes) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "colours"
    request.model_spec.signature_name = "image_bytes"
    request.model_spec.version_label = "stable"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([red, green]))
    response = prediction.Predict(request)
    assert tf.make_ndarray(response.outputs["label"]).tolist() == [b"red", b"green"]
    assert len(response.outputs["probabilities"].float_val) == 6
    assert tf.make_ndarray(response.outputs["probabilities"]).shape == (2, 3)
    assert (response.model_spec.name, response.model_spec.version.value) == ("colours", 1)


def test_explain(prediction: Any, red: bytes, green: bytes) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "colours"
    request.model_spec.signature_name = "explain"
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([red, green]))
    request.inputs["label"].CopyFrom(tf.make_tensor_proto(["", "blue"]))
    response = prediction.Predict(request)
    assert tf.make_ndarray(response.outputs["label"]).tolist() == [b"red", b"blue"]
    maps = tf.make_ndarray(response.outputs["map"])
    assert maps.shape == (2, 8, 8)
    assert maps[0].min() > 0.8 > 0.2 > maps[1].max()
    request.inputs["label"].CopyFrom(tf.make_tensor_proto(["", "pink"]))
    with pytest.raises(grpc.RpcError, match=r"image_bytes\[1\]: .*no such class") as rejected:
        prediction.Predict(request)
    assert rejected.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[union-attr]


def test_pixels_as_tensor_content(prediction: Any) -> None:
    request = predict_pb2.PredictRequest(output_filter=["label"])
    request.model_spec.name = "colours"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(tf.fill([1, 4, 4, 3], tf.constant(9, tf.uint8))))
    response = prediction.Predict(request)
    assert list(response.outputs) == ["label"]
    assert response.model_spec.signature_name == "serving_default"


def test_classify(prediction: Any, red: bytes) -> None:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = "colours"
    request.model_spec.signature_name = "classify"
    example = request.input.example_list.examples.add()
    example.features.feature["image/encoded"].bytes_list.value.append(red)
    (one,) = prediction.Classify(request).result.classifications
    assert max(one.classes, key=lambda c: c.score).label == "red"


def test_metadata(prediction: Any, models: Path) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "colours"
    packed = prediction.GetModelMetadata(request).metadata["signature_def"]
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert packed.Unpack(signatures)
    stored = saved_model_pb2.SavedModel.FromString((models / "colours/1/saved_model.pb").read_bytes())
    assert dict(signatures.signature_def) == dict(stored.meta_graphs[0].signature_def)


def test_status(channel: grpc.Channel) -> None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "colours"
    (one,) = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request).model_version_status
    assert (one.version, one.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
    assert (one.status.error_code, one.status.error_message) == (0, "")


def test_reload(channel: grpc.Channel, prediction: Any, models: Path) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    model = request.config.model_config_list.config.add(name="colours", model_platform="tensorflow")
    model.base_path = str(models / "colours")
    model.version_labels.update(stable=1, candidate=1)
    response = model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request)
    assert (response.status.error_code, response.status.error_message) == (0, "")
    named = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    named.model_spec.name, named.model_spec.version_label = "colours", "candidate"
    assert prediction.GetModelMetadata(named).model_spec.version.value == 1


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        ({"name": "other"}, grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(other)"),
        (
            {"name": "colours", "version_label": "x"},
            grpc.StatusCode.INVALID_ARGUMENT,
            "Unrecognized servable version label: x",
        ),
    ],
)
def test_errors(prediction: Any, spec: dict[str, str], code: grpc.StatusCode, said: str) -> None:
    with pytest.raises(grpc.RpcError) as error:
        prediction.Predict(predict_pb2.PredictRequest(model_spec=spec))
    assert (error.value.code(), error.value.details()) == (code, said)  # type: ignore[attr-defined]
