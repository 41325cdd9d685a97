"""The metrics on the REST port: TensorFlow Serving's names, and series for each version."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx2
import pytest
from embedded.conftest import settings
from embedded.requests import floats, predict_request, until

from keraserve_embedded.engine import Engine, EngineOptions
from keraserve_embedded.errors import Code, ConfigError
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.process.server import Server
from keraserve_embedded.telemetry.metrics import Metrics
from keraserve_embedded.telemetry.monitoring_config import metrics_path
from keraserve_protocol import messages as m
from keraserve_protocol.services import Stub

SAMPLE = re.compile(r"(?P<name>[\w:]+)(?:{(?P<labels>.*)})? (?P<value>\S+)")
LABEL = re.compile(r'(\w+)="([^"]*)"')
PATH = "/monitoring/prometheus/metrics"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Served:
    """A server with a REST port and metrics, and clients of both APIs."""

    def __init__(self, engine: Engine, metrics: Metrics, config: Path) -> None:
        self.engine = engine
        self.server = Server(engine, settings(rest_api_port=0, monitoring_config_file=config), metrics)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.server.start()}")
        self.stub = Stub(self.channel)
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{self.server.rest_port}")

    def samples(self) -> Samples:
        page = self.http.get(PATH)
        assert page.headers["content-type"].startswith("text/plain")
        # Not with the library's parser: it gives counters the `_total` that TensorFlow Serving's lack.
        return {
            (one["name"], frozenset(LABEL.findall(one["labels"] or ""))): float(one["value"])
            for one in map(SAMPLE.fullmatch, page.text.splitlines())
            if one
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, frozenset(labels.items())))

    def until(self, name: str, value: float, **labels: str) -> None:
        until(lambda: self.value(name, **labels) == value)


@pytest.fixture
def served(tmp_path: Path, many: Path) -> Iterator[Served]:
    config = tmp_path / "monitoring.config"
    config.write_text("prometheus_config { enable: true }")
    shutil.copytree(many / "numbers", tmp_path / "numbers")
    metrics = Metrics()
    engine = Engine(EngineOptions(poll_seconds=0.05), metrics)
    assert engine.start([ModelEntry("numbers", (tmp_path / "numbers",), labels={"stable": 1})])
    made = Served(engine, metrics, config)
    yield made
    made.http.close()
    made.channel.close()
    made.server.drain()
    engine.stop()


def request(model: str = "numbers", names: str = "ab") -> m.PredictRequest:
    return predict_request(model, dict.fromkeys(names, floats(1.0)))


def test_requests_under_tensorflow_servings_names(served: Served) -> None:
    served.stub.predict(request())
    for wrong in (request("numbers", "a"), request("none of ours")):
        with pytest.raises(grpc.RpcError):
            served.stub.predict(wrong)
    call = "/v1/models/numbers:predict"
    assert served.http.post(call, json={"inputs": {"a": [1], "b": [2]}}).status_code == 200
    assert served.http.get("/v1/models/numbers").status_code == 200
    assert served.http.get("/v1/models/nope").status_code == 404
    samples = served.samples()

    def value(name: str, **labels: str) -> float | None:
        return samples.get((name, frozenset(labels.items())))

    count, latency = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency"
    assert value(count, model_name="numbers", status="OK") == 3
    assert value(count, model_name="numbers", status="INVALID_ARGUMENT") == 1
    assert value(count, model_name="", status="NOT_FOUND") == 2  # a caller makes no series
    for api, entrypoint in (("Predict", "GRPC"), ("predict", "REST"), ("", "REST")):
        labels = {"model_name": "numbers", "API": api, "entrypoint": entrypoint}
        assert value(f"{latency}_count", **labels) == 1
        assert value(f"{latency}_bucket", **labels, le="+Inf") == 1
        assert (value(f"{latency}_sum", **labels) or 0) > 10  # microseconds
    runtime = {"model_name": "numbers", "API": "Predict", "runtime": "TF2"}
    assert value(":tensorflow:serving:runtime_latency_count", **runtime) == 2
    load = ":tensorflow:cc:saved_model:load"
    assert value(f"{load}_attempt_count", model_path="numbers/1", status="success") == 1
    assert (value(f"{load}_latency", model_path="numbers/1") or 0) > 1000


def test_types_are_tensorflow_servings(served: Served) -> None:
    served.stub.predict(request())
    page = served.http.get(PATH).text
    assert "# TYPE :tensorflow:serving:request_count counter\n" in page
    assert "# TYPE :tensorflow:serving:request_latency histogram\n" in page
    assert "_created" not in page
    assert ":tensorflow:serving:request_count_total" not in page


def test_every_version_has_its_own_series(served: Served, tmp_path: Path) -> None:
    served.stub.predict(request())
    one = {"model_name": "numbers", "version": "1"}
    assert served.value("keraserve_requests_total", **one, API="Predict", status="OK") == 1
    assert served.value("keraserve_request_seconds_count", **one, API="Predict") == 1
    assert served.value("keraserve_version_state", **one, state="AVAILABLE") == 1
    assert served.value("keraserve_label_version", model_name="numbers", label="stable") == 1
    shutil.copytree(tmp_path / "numbers/1", tmp_path / "numbers/2")
    two = {"model_name": "numbers", "version": "2"}
    served.until("keraserve_version_state", 1, **two, state="AVAILABLE")
    served.stub.predict(request())
    assert served.value("keraserve_requests_total", **two, API="Predict", status="OK") == 1


def test_a_model_that_can_not_be_loaded_is_shown_and_others_serve(served: Served, tmp_path: Path) -> None:
    broken = tmp_path / "numbers/2"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"no graph")
    nowhere = ModelEntry("nowhere", (tmp_path / "nowhere",))
    served.engine.configure([ModelEntry("numbers", (tmp_path / "numbers",)), nowhere])
    served.until("keraserve_model_available", 0, model_name="nowhere")
    failed = [key for key in served.samples() if key[0] == "keraserve_version_failed"]
    assert len(failed) == 1
    assert {("model_name", "numbers"), ("version", "2")} < failed[0][1]
    path = {"model_path": "numbers/2", "status": "fail"}
    assert served.value(":tensorflow:cc:saved_model:load_attempt_count", **path) == 1
    assert served.value("keraserve_model_available", model_name="numbers") == 1
    states = served.http.get("/v1/models/numbers").json()["model_version_status"]
    assert [one["state"] for one in states] == ["END", "AVAILABLE"]
    assert states[0]["status"]["error_message"]
    assert "No such file" in served.http.get("/v1/models/nowhere").json()["error"]
    assert served.stub.predict(request()).model_spec.version.value == 1


def lines_of(served: Served, version: int) -> list[str]:
    page = served.http.get(PATH).text.splitlines()
    return [line for line in page if f'version="{version}"' in line or f"numbers/{version}" in line]


def test_series_of_ended_versions_are_removed(served: Served, tmp_path: Path) -> None:
    served.stub.predict(request())
    with pytest.raises(grpc.RpcError):
        served.stub.predict(request("numbers", "a"))
    assert lines_of(served, 1)
    sizes: set[int] = set()
    for version in range(2, 7):
        shutil.copytree(tmp_path / f"numbers/{version - 1}", tmp_path / f"numbers/{version}")
        of = {"model_name": "numbers", "version": str(version)}
        served.until("keraserve_version_state", 1, **of, state="AVAILABLE")
        served.stub.predict(request())
        with pytest.raises(grpc.RpcError):
            served.stub.predict(request("numbers", "a"))
        until(lambda ended=version - 1: not lines_of(served, ended))
        sizes.add(len(served.samples()))
    assert len(sizes) == 1, sizes


def test_series_of_a_failed_version_are_removed_with_its_folder(served: Served, tmp_path: Path) -> None:
    broken = tmp_path / "numbers/2"
    broken.mkdir()
    (broken / "saved_model.pb").write_bytes(b"no graph")
    path = {"model_path": "numbers/2", "status": "fail"}
    served.until(":tensorflow:cc:saved_model:load_attempt_count", 1, **path)
    shutil.rmtree(broken)
    until(lambda: not lines_of(served, 2))


def test_a_request_that_ends_after_its_version_creates_no_series() -> None:
    metrics = Metrics()
    metrics.version_loaded("m", 1, Code.OK, 1.0)
    metrics.version_ended("m", 1)
    metrics.call_ended("Predict", "m", 1, Code.OK, 1.0)
    metrics.call_ended("Predict", "m", 1, Code.INTERNAL, 1.0)
    metrics.graph_ran("m", 1, "serving_default", 1, 1, 1.0)
    assert b'version="1"' not in metrics.page()
    assert b"m/1" not in metrics.page()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("prometheus_config { enable: true }", PATH),
        ('prometheus_config { enable: true, path: "/metrics" }', "/metrics"),
        ('prometheus_config { path: "/metrics" }', ""),
        ("", ""),
    ],
)
def test_a_monitoring_config(tmp_path: Path, text: str, path: str) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert metrics_path(file) == path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prometheus_config {", r"monitoring\.config: not a MonitoringConfig: 1:"),
        ("prometheus: true", r'no field named "prometheus"'),
        ('prometheus_config { enable: true path: "metrics" }', "does not begin with a slash"),
        (None, r"can't read .*monitoring\.config"),
    ],
)
def test_a_wrong_monitoring_config(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "monitoring.config"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        metrics_path(file)
