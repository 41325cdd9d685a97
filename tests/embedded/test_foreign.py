"""Models from other exporters: they load, and run over gRPC and REST."""

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from conftest import QUIET
from embedded.conftest import settings
from embedded.requests import example, examples, predict_request

from keraserve_embedded.engine import Engine
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.process.server import Server
from keraserve_protocol import messages as m
from keraserve_protocol.services import Stub
from keraserve_protocol.tensors import from_proto

MODELS = ("estimator", "keras", "names")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("foreign")
    program = Path(__file__).with_name("foreign_models.py")
    subprocess.run(
        [sys.executable, str(program), str(folder)], check=True, env=QUIET, capture_output=True, timeout=180
    )
    engine = Engine()
    assert engine.start([ModelEntry(name, (folder / name,)) for name in MODELS])
    made = Server(engine, settings(rest_api_port=0))
    made.start()
    yield made
    made.drain()
    engine.stop()


@pytest.fixture(scope="module")
def stub(server: Server) -> Iterator[Stub]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Stub(channel)


@pytest.fixture(scope="module")
def rest(server: Server) -> Iterator[Callable[[str, Any], Any]]:
    """Post to a path; returns the JSON of a successful response."""
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.rest_port}", timeout=30) as client:

        def post(path: str, body: Any) -> Any:
            response = client.post(f"/v1/models/{path}", json=body)
            assert response.status_code == 200, response.text
            return response.json()

        yield post


Rest = Callable[[str, Any], Any]


def predict(stub: Stub, model: str, inputs: dict[str, Any], signature: str = "") -> dict[str, Any]:
    response = stub.predict(predict_request(model, inputs, signature=signature))
    return {name: from_proto(value).tolist() for name, value in response.outputs.items()}


HIGH = {"results": [[["low", pytest.approx(0.26894143)], ["high", pytest.approx(0.7310586)]]]}


def test_an_estimator_over_grpc(stub: Stub) -> None:
    request = m.ClassificationRequest(model_spec=m.model_spec("estimator"), input=examples(example(x=(0, 1))))
    (one,) = stub.classify(request).result.classifications
    assert [[c.label, c.score] for c in one.classes] == HIGH["results"][0]
    regression = m.RegressionRequest(
        model_spec=m.model_spec("estimator", signature="regression"), input=examples(example(x=(0, 1)))
    )
    assert stub.regress(regression).result.regressions[0].value == pytest.approx(0.7310586)
    serialized = np.array([example(x=(0, 1), word=b"a"), example(x=(1, 0))], dtype=object)
    response = predict(stub, "estimator", {"examples": serialized}, "predict")
    assert (response["class_ids"], response["words"]) == ([1, 0], [1, 0])
    raw = predict(stub, "estimator", {"x": np.zeros((1, 2), np.float32)}, "raw/features:0")
    assert raw == {"logits": [[0.5, 0.5]]}


def test_an_estimator_runs_several_tasks_in_one_request(stub: Stub) -> None:
    tasks = [
        m.InferenceTask(model_spec=m.model_spec("estimator"), method_name="tensorflow/serving/classify"),
        m.InferenceTask(
            model_spec=m.model_spec("estimator", signature="regression"),
            method_name="tensorflow/serving/regress",
        ),
    ]
    response = stub.multi_inference(m.MultiInferenceRequest(tasks=tasks, input=examples(example(x=(0, 1)))))
    classified, regressed = response.results
    assert classified.classification_result.classifications[0].classes[1].label == "high"
    assert regressed.regression_result.regressions[0].value == pytest.approx(0.7310586)


def test_an_estimator_over_rest(rest: Rest) -> None:
    one = {"x": [0.0, 1.0]}
    assert rest("estimator:classify", {"examples": [one]}) == HIGH
    body: Any = {"signature_name": "regression", "examples": [one]}
    assert rest("estimator:regress", body) == {"results": [pytest.approx(0.7310586)]}
    serialized = {"b64": base64.b64encode(example(x=(0, 1), word=b"a")).decode()}
    body = {"signature_name": "predict", "instances": [serialized]}
    assert rest("estimator:predict", body)["predictions"][0]["class_ids"] == 1
    body = {"signature_name": "raw/features:0", "instances": [[0, 0]]}
    assert rest("estimator:predict", body) == {"predictions": [[0.5, 0.5]]}


def test_a_model_exported_by_keras(stub: Stub, rest: Rest) -> None:
    left, right = np.array([[1, 2]], np.float32), np.array([[3, 4]], np.float32)
    wanted = {"product": [[3.0, 8.0]], "total": [[4.0, 6.0]]}
    assert predict(stub, "keras", {"left": left, "right": right}) == wanted
    body = {"inputs": {"left": left.tolist(), "right": right.tolist()}}
    assert rest("keras:predict", body) == {"outputs": wanted}


def test_names_that_are_no_identifiers(stub: Stub, rest: Rest) -> None:
    words = np.array([["first", "second"], ["ä", ""]], dtype=object)
    inputs = {
        "a-b": np.array([1.5], np.float32),
        "1st": np.int32(2),
        "the words": words,
        "deep/name:0": np.array([True]),
    }
    response = predict(stub, "names", inputs)
    assert (response["a-b"], response["times"], response["not"]) == ([3.0], 2, [False])
    assert response["joined/texts"] == [b"first second", "ä ".encode()]
    body = {"a-b": [1.5], "1st": 2, "the words": words.tolist(), "deep/name:0": [True]}
    outputs = rest("names:predict", {"inputs": body})["outputs"]
    assert outputs["joined/texts"] == ["first second", "ä "]
    # A name that ends in _bytes is base64, as TensorFlow Serving has it.
    assert outputs["image_bytes"][0] == {"b64": base64.b64encode(b"first\xff").decode()}
