"""Details in which the server behaves as TensorFlow Serving, and errors that it reports at the start."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tensorflow as tf
from embedded.conftest import settings
from embedded.many_models import edit
from embedded.requests import predict_request

from keraserve_embedded.batching import options
from keraserve_embedded.engine import Engine, EngineOptions
from keraserve_embedded.errors import ConfigError
from keraserve_embedded.models.model_list import ModelEntry, from_config, single_model
from keraserve_embedded.process.server import Server
from keraserve_embedded.telemetry import monitoring_config
from keraserve_protocol import messages as m
from keraserve_protocol import model_config
from keraserve_protocol.tensors import from_proto

FLOATS = tf.TensorSpec([None], tf.float32, "x")


class Odd(tf.Module):
    @tf.function(input_signature=[FLOATS])
    def double(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x * 2}

    @tf.function(input_signature=[])
    def about(self) -> dict[str, tf.Tensor]:
        return {"classes": tf.constant(["a", "b"])}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.bfloat16, "x")])
    def brain(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x * 2}

    @tf.function(input_signature=[FLOATS])
    def imaginary(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.complex(x, x)}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, httpx2.Client]]:
    folder, module = tmp_path_factory.mktemp("odd"), Odd()
    names = ("about", "brain", "imaginary")
    signatures = {"serving_default": module.double, **{name: getattr(module, name) for name in names}}
    tf.saved_model.save(module, str(folder / "1"), signatures=signatures)
    # As TensorFlow Serving's own test model of 2016: the signature says [], the graph takes rows.
    edit(folder / "1", lambda known: known["serving_default"].inputs["x"].tensor_shape.Clear())
    engine = Engine(EngineOptions(poll_seconds=0.05))
    assert engine.start([ModelEntry("odd", (folder,))])
    server = Server(engine, settings(rest_api_port=0))
    server.start()
    with httpx2.Client(base_url=f"http://127.0.0.1:{server.rest_port}", timeout=30) as client:
        yield engine, client
    server.drain()
    engine.stop()


Served = tuple[Engine, httpx2.Client]


def ask(odd: Served, **body: Any) -> tuple[int, Any]:
    got = odd[1].post("/v1/models/odd:predict", json=body)
    return got.status_code, got.json()


def request(signature: str, **inputs: Any) -> m.PredictRequest:
    return predict_request("odd", inputs, signature=signature)


def test_the_graph_decides_which_shapes_fit(odd: Served) -> None:
    for shape in ((1,), (3,), (), (2, 2)):
        given = np.ones(shape, np.float32)
        response = from_proto(odd[0].predict(request("serving_default", x=given)).outputs["y"])
        np.testing.assert_array_equal(response, given * 2)
    assert ask(odd, instances=[1.0]) == (200, {"predictions": [2.0]})


def test_a_signature_without_inputs(odd: Served) -> None:
    response = odd[0].predict(request("about"))
    assert from_proto(response.outputs["classes"]).tolist() == [b"a", b"b"]
    assert ask(odd, signature_name="about", inputs={}) == (200, {"outputs": ["a", "b"]})
    status, said = ask(odd, signature_name="about", instances=[{}])
    assert (status, said["error"]) == (400, """signature 'about' has no inputs: ask it with "inputs": {}""")


def test_bfloat16_has_a_json_form_both_ways(odd: Served) -> None:
    assert ask(odd, signature_name="brain", instances=[[1.5, 0.1]]) == (200, {"predictions": [[3.0, 0.2]]})


def test_a_result_that_json_can_not_represent_is_501(odd: Served) -> None:
    status, said = ask(odd, signature_name="imaginary", instances=[1.0])
    assert status == 501
    assert said["error"].endswith("DT_COMPLEX64 has no form in JSON; ask over gRPC")


@pytest.mark.parametrize(
    "path", ["gs://bucket/m", "s3://bucket/m", "hdfs://a/b", "HTTP://x/y", "file://host/m"]
)
def test_a_base_path_elsewhere_is_rejected_at_once(path: str, tmp_path: Path) -> None:
    said = f"Model m has the base_path {path}: this server reads folders of this machine only"
    with pytest.raises(ConfigError) as rejected:
        single_model("m", path)
    assert said in str(rejected.value)
    text = f'model_config_list {{ config {{ name: "m" base_path: "{path}" model_platform: "tensorflow" }} }}'
    with pytest.raises(ConfigError) as rejected:
        from_config(model_config.parse(text), tmp_path)
    assert said in str(rejected.value)


def test_a_file_address_is_a_folder(tmp_path: Path) -> None:
    assert single_model("m", f"file://{tmp_path}/m")[0].base_path == tmp_path / "m"
    assert single_model("m", "a:b")[0].base_path == Path("a:b").absolute()


def test_request_logging_is_rejected_by_name(tmp_path: Path) -> None:
    text = (
        'model_config_list { config { name: "m" base_path: "/m" model_platform: "tensorflow" '
        "logging_config { sampling_config { sampling_rate: 0.1 } } } }"
    )
    with pytest.raises(ConfigError, match="Model m has a logging_config: this server logs no requests"):
        from_config(model_config.parse(text), tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"model_config_list { config { name: ", "not a ModelServerConfig: "),
        (b"\xef\xbb\xbfmodel_config_list { }", "begins with a byte-order mark: save it as UTF-8 without one"),
        (
            b'model_config_list { config { name: "m" base_path: "gs://b/m" model_platform: "tensorflow" } }',
            "Model m has the base_path gs://b/m",
        ),
    ],
)
def test_a_config_file_that_can_not_be_followed_ends_the_start_by_name(
    tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "models.config"
    file.write_bytes(content)
    flags = [f"--model_config_file={file}", "--port=0"]
    program = f"from keraserve_embedded.process.cli import main; main({json.dumps(flags)})"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert str(file) in ended.stderr
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_other_files_with_a_byte_order_mark_are_rejected_too(tmp_path: Path) -> None:
    file = tmp_path / "some.config"
    file.write_text("\ufeff")
    for read in (options.read, monitoring_config.metrics_path):
        with pytest.raises(ConfigError, match=r"some\.config begins with a byte-order mark"):
            read(file)
