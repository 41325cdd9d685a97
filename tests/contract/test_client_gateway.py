"""The client with the real gateway and a fake model server, with the same results over HTTP and gRPC."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from free_ports import free_ports
from waiting import until

from keraserve_client import (
    BadRequest,
    Client,
    DeadlineExceeded,
    Failure,
    GrpcClient,
    KeraserveError,
    Model,
    NotFound,
    Prediction,
    State,
    StatusError,
    TooLarge,
    TooManyRequests,
    Unavailable,
    UnsupportedImage,
    VersionStatus,
)
from keraserve_protocol import messages as m
from keraserve_protocol import model_config, services

WIDTHS = {"float": (16, 32, 64), "int": (8, 16, 32, 64), "uint": (8, 16, 32, 64)}
DTYPES = [f"{kind}{bits}" for kind, widths in WIDTHS.items() for bits in widths]
REJECTIONS = {"loading": grpc.StatusCode.UNAVAILABLE, "broken": grpc.StatusCode.INTERNAL}
MODELS = ["echo", "slow", *REJECTIONS]


class ModelServer:
    """The model `echo` returns its inputs, `slow` waits, the others reject."""

    def __init__(self) -> None:
        self.pause = threading.Event()

    def check(self, name: str, context: grpc.ServicerContext) -> None:
        if name in REJECTIONS:
            context.abort(REJECTIONS[name], f"{name} it is")
        if name not in MODELS:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no {name} here")
        if name == "slow":
            self.pause.wait(5)

    def predict(self, request: m.PredictRequest, context: grpc.ServicerContext) -> m.PredictResponse:
        self.check(request.model_spec.name, context)
        return m.PredictResponse(outputs=request.inputs, model_spec=m.model_spec("echo", version=12))

    def classify(
        self, request: m.ClassificationRequest, context: grpc.ServicerContext
    ) -> m.ClassificationResponse:
        """Give each image a class whose label is its size in bytes."""
        self.check(request.model_spec.name, context)
        response = m.ClassificationResponse(model_spec=m.model_spec("echo", version=12))
        for serialized in request.input.example_list.examples:
            features = m.Example.FromString(serialized).features.feature
            [encoded] = features["image/encoded"].bytes_list.value
            classes = response.result.classifications.add().classes
            classes.add(label="other <&\"'> größe", score=0.25)
            classes.add(label=str(len(encoded)), score=0.7)
            classes.add(label="last", score=0.05)
        return response

    def metadata(
        self, request: m.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> m.GetModelMetadataResponse:
        if request.model_spec.name != "slow":
            self.check(request.model_spec.name, context)
        signatures = m.SignatureDefMap()
        for name, keys in (("serving_default", [*DTYPES, "bool", "string"]), ("one", ["string"])):
            signature = signatures.signature_def[name]
            signature.method_name = "tensorflow/serving/predict"
            for key in keys:
                kind = {"float16": "half", "float32": "float", "float64": "double"}.get(key, key)
                info = m.TensorInfo(name=f"{key}:0", dtype=m.DataType.Value(f"DT_{kind.upper()}"))
                info.tensor_shape.dim.add(size=-1)
                signature.inputs[key].CopyFrom(info)
                signature.outputs[key].CopyFrom(info)
        response = m.GetModelMetadataResponse(model_spec=m.model_spec("echo", version=12))
        response.metadata[m.SIGNATURE_DEF].CopyFrom(m.pack_signatures(signatures))
        return response

    def status(
        self, request: m.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> m.GetModelStatusResponse:
        assert context.is_active()
        response = m.GetModelStatusResponse()
        if request.model_spec.name == "echo":
            failed = m.StatusProto(error_code=13, error_message="no such file")
            response.model_version_status.add(version=11, state=m.ModelVersionStatus.END, status=failed)
        response.model_version_status.add(version=12, state=m.ModelVersionStatus.AVAILABLE)
        return response


@dataclass(frozen=True)
class Gateway:
    url: str
    grpc: str
    log: Path
    model_server: ModelServer

    def logged(self, request_id: str | None) -> str:
        """Return the last line of the log with a request's id; it is written after the response."""
        wanted, end = f'"request_id":"{request_id}"', time.monotonic() + 10
        while True:
            lines = [line for line in self.log.read_text().splitlines() if wanted in line]
            if lines and '"status"' in lines[-1]:
                return lines[-1]
            assert time.monotonic() < end, f"the log has no {wanted}"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    config = m.ModelServerConfig()
    for name in MODELS:
        config.model_config_list.config.add(name=name, base_path=f"/models/{name}")
    config.model_config_list.config[0].version_labels["stable"] = 12
    (folder / "models.config").write_text(model_config.render(config))
    model_server = ModelServer()
    upstream = grpc.server(ThreadPoolExecutor(8))
    calls = {
        services.PREDICT: model_server.predict,
        services.CLASSIFY: model_server.classify,
        services.GET_MODEL_METADATA: model_server.metadata,
        services.GET_MODEL_STATUS: model_server.status,
    }
    upstream.add_generic_rpc_handlers(services.handlers(calls))
    upstream_port = upstream.add_insecure_port("127.0.0.1:0")
    upstream.start()
    http_port, grpc_port = free_ports(2)
    settings = {
        "KERASERVE_MODEL_SERVER": f"127.0.0.1:{upstream_port}",
        "KERASERVE_MODEL_CONFIG_FILE": str(folder / "models.config"),
        "KERASERVE_PORT": str(http_port),
        "KERASERVE_GRPC_PORT": str(grpc_port),
        "KERASERVE_MAX_BODY_BYTES": "50000",
        "KERASERVE_MAX_IMAGES": "3",
        "KERASERVE_MAX_PIXELS": "10000",
        "KERASERVE_MAX_IN_FLIGHT": "2",
        "KERASERVE_DEADLINE_SECONDS": "1.5",
    }
    log = folder / "gateway.log"
    with log.open("wb") as output:
        program = str(Path(sys.executable).with_name("keraserve-gateway"))
        process = subprocess.Popen(
            [program], env={**os.environ, **settings}, stdout=output, stderr=subprocess.STDOUT
        )
    found = Gateway(f"http://127.0.0.1:{http_port}", f"127.0.0.1:{grpc_port}", log, model_server)
    try:
        with Client(found.url, retries=0) as client:
            until(lambda: responds(client), "the gateway is not ready", 90)
        yield found
    finally:
        model_server.pause.set()
        process.terminate()
        process.wait(30)
        upstream.stop(None).wait()


def responds(client: Client) -> bool:
    try:
        return bool(client.status("echo", timeout=2).versions)
    except KeraserveError:
        return False


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[Client]:
    with Client(gateway.url, timeout=10, retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def grpc_client(gateway: Gateway) -> Iterator[GrpcClient]:
    with GrpcClient(gateway.grpc, timeout=10, retries=0) as client:
        yield client


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def extremes(dtype: str) -> np.ndarray:
    if dtype.startswith("float"):
        info = np.finfo(dtype)
        return np.array([0.1, -0.0, info.min, info.max, info.tiny, np.nan, np.inf, -np.inf], dtype)
    return np.array([np.iinfo(dtype).min, np.iinfo(dtype).max, 0], dtype)


@pytest.mark.shows("every dtype that has")
def test_every_dtype_is_the_same_over_http_and_grpc(client: Client, grpc_client: GrpcClient) -> None:
    inputs: dict[str, Any] = {dtype: extremes(dtype) for dtype in DTYPES}
    inputs["bool"] = np.array([True, False])
    inputs["string"] = ["text größe", ""]
    over_http, over_grpc = client.predict("echo", inputs), grpc_client.predict("echo", inputs)
    for key, sent in inputs.items():
        assert over_http[key].dtype == over_grpc[key].dtype == (object if key == "string" else np.dtype(key))
        np.testing.assert_array_equal(over_http[key], over_grpc[key], err_msg=key)
        if key != "string":
            np.testing.assert_array_equal(over_http[key], sent, err_msg=key)
    assert over_http["string"].tolist() == ["text größe".encode(), b""]


def test_a_signature_may_have_a_single_output(client: Client, grpc_client: GrpcClient) -> None:
    for each in (client, grpc_client):
        assert each.predict("echo", [["a"], ["b"]], "one")["string"].tolist() == [[b"a"], [b"b"]]


def test_metadata_and_status_are_the_same_over_http_and_grpc(client: Client, grpc_client: GrpcClient) -> None:
    assert client.metadata("echo") == grpc_client.metadata("echo")
    assert client.metadata("echo").version == 12
    assert client.status("echo") == grpc_client.status("echo")
    assert client.status("echo").versions == (
        VersionStatus(12, State.AVAILABLE),
        VersionStatus(11, State.END, "no such file"),
    )


@pytest.mark.shows("GET /v1/models")
def test_the_list_of_models(client: Client) -> None:
    listed = client.models()
    assert sorted(model.name for model in listed) == sorted(MODELS)
    [echo] = [model for model in listed if model.name == "echo"]
    versions = (VersionStatus(12, State.AVAILABLE), VersionStatus(11, State.END, "no such file"))
    assert echo == Model("echo", versions, {"stable": 12})


def test_images_arrive_complete_and_in_order(
    client: Client, grpc_client: GrpcClient, tmp_path: Path, red: bytes
) -> None:
    path = tmp_path / 'a "name" größe.png'
    path.write_bytes(red)
    images = [noise(20, 30), path, noise(30, 40)]
    over_http = client.classify("echo", images, top_k=2)
    over_grpc = grpc_client.classify("echo", images, top_k=2)
    for one, other in zip(over_http, over_grpc, strict=True):
        assert (one.filename, one.model, one.version) == (other.filename, other.model, other.version)
        assert [entry.label for entry in one.classes] == [entry.label for entry in other.classes]
        assert [entry.probability for entry in one.classes] == pytest.approx(
            [entry.probability for entry in other.classes]
        )
    assert [one.filename for one in over_http] == [None, path.name, None]
    assert over_http[1].best.label == str(len(red))
    assert over_http[1].classes[1].label == "other <&\"'> größe"
    assert client.classify("echo", path)[0].best.label == str(len(red))


@pytest.mark.parametrize(
    ("model", "image", "kind", "says"),
    [
        ("echo", b"no image", UnsupportedImage, "image 0"),
        ("echo", "cut", BadRequest, "image 0"),
        ("echo", [noise(9, 9)] * 4, TooLarge, "images"),
        ("echo", np.zeros((200, 200), np.uint8), TooLarge, "pixels"),
        ("echo", bytes(60_000), TooLarge, "bytes"),
        ("nowhere", noise(9, 9), NotFound, "nowhere.*; known models: .*echo"),
        ("loading", noise(9, 9), Unavailable, "."),
        ("broken", noise(9, 9), StatusError, "."),
        ("slow", noise(9, 9), DeadlineExceeded, "."),
    ],
)
def test_every_rejection_is_typed_and_can_be_found_in_the_log(
    gateway: Gateway,
    client: Client,
    red: bytes,
    model: str,
    image: Any,
    kind: type[KeraserveError],
    says: str,
) -> None:
    with pytest.raises(kind, match=says) as caught:
        client.classify(model, red[:20] if isinstance(image, str) else image)
    assert caught.value.status_code is not None
    assert caught.value.request_id
    assert '"event":"request"' in gateway.logged(caught.value.request_id)
    assert caught.value.detail[0] not in "{<"


@pytest.mark.shows("call")
@pytest.mark.parametrize(
    ("model", "image", "kind"),
    [
        ("nowhere", noise(9, 9), NotFound),
        ("loading", noise(9, 9), Unavailable),
        ("broken", noise(9, 9), StatusError),
        ("slow", noise(9, 9), DeadlineExceeded),
        ("echo", bytes(60_000), TooLarge),
    ],
)
def test_rejections_over_grpc_are_the_same(
    gateway: Gateway, grpc_client: GrpcClient, model: str, image: Any, kind: type[KeraserveError]
) -> None:
    with pytest.raises(kind) as caught:
        grpc_client.classify(model, image)
    assert caught.value.status_code is not None
    if kind is not TooLarge:  # gRPC itself rejects a long message, before there is a request
        assert '"event":"call"' in gateway.logged(caught.value.request_id)


@pytest.mark.shows("a rejection says when", "model-server-away")
def test_a_loading_model_has_a_retry_after(client: Client, grpc_client: GrpcClient) -> None:
    for each in (client, grpc_client):
        with pytest.raises(Unavailable) as caught:
            each.classify("loading", noise(9, 9))
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 60


def test_a_full_gateway_is_429_and_a_client_with_retries_waits(gateway: Gateway, client: Client) -> None:
    gateway.model_server.pause.clear()
    with ThreadPoolExecutor(2) as pool, Client(gateway.url, timeout=20, retries=20) as patient:
        busy = [pool.submit(client.classify, "slow", noise(9, 9)) for _ in range(2)]
        time.sleep(0.3)
        with pytest.raises(TooManyRequests) as caught:
            client.classify("slow", noise(9, 9))
        assert caught.value.retry_after is not None
        # Another model has its share of the slots.
        assert client.classify("echo", noise(9, 9))[0].version == 12
        gateway.model_server.pause.set()
        assert patient.classify("slow", noise(9, 9))[0].version == 12
        assert [one.result()[0].version for one in busy] == [12, 12]
        gateway.model_server.pause.clear()


def test_many_images_pass_narrow_limits(gateway: Gateway) -> None:
    """The client sends groups of eight; the gateway allows three images in a request, and two requests."""
    images: list[Any] = [noise(9, 9 + number) for number in range(20)]
    images[7:7] = [bytes(60_000), np.zeros((200, 200), np.uint8), b"no image"]
    with Client(gateway.url, timeout=30, retries=30) as patient:
        found = list(patient.classify_many("echo", images, concurrency=32))
        alone = [patient.classify("echo", image)[0].best for image in images[:7] + images[10:]]
    large, wide, wrong = found[7:10]
    assert isinstance(large, Failure)
    assert isinstance(large.error, TooLarge)
    assert isinstance(wide, Failure)
    assert "pixels" in str(wide.error)
    assert isinstance(wrong, Failure)
    assert isinstance(wrong.error, StatusError)
    assert [one.best for one in found[:7] + found[10:] if isinstance(one, Prediction)] == alone
