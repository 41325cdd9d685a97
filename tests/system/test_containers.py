"""The Compose stack with real containers: requests from the host, metrics, a second version, and stopping."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import httpx2
import pytest
from programs import COMPOSE, GIVEN_IMAGE, ROOT, TF_SERVING_IMAGE, train
from waiting import until

from keraserve_client import Client, GrpcClient

pytestmark = pytest.mark.containers

HTTP_PORT, GRPC_PORT, PROMETHEUS_PORT = 18000, 18500, 19090
A, B = "fashion-mnist-reuse-a-sample", "fashion-mnist-reuse-b-sample"


class Compose:
    """`docker compose` with a project of the test's own."""

    def __init__(self, models: Path, runs: Path) -> None:
        ports = {"HTTP_PORT": HTTP_PORT, "GRPC_PORT": GRPC_PORT, "PROMETHEUS_PORT": PROMETHEUS_PORT}
        folders = {"MODELS": str(models), "RUNS": str(runs)}
        self.environment = {**os.environ, **folders, "COMPOSE_PROJECT_NAME": "keraserve-test"}
        self.environment |= {name: str(port) for name, port in ports.items()}

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [*COMPOSE, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def compose(docker_images: None, exported: Path) -> Iterator[Compose]:
    compose = Compose(exported / "models", exported / "runs")
    try:
        compose("up", "--detach", "--wait")
        yield compose
    finally:
        compose("--profile", "observability", "down", "--volumes", "--timeout", "30")


@pytest.fixture
def http(compose: Compose) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{HTTP_PORT}") as client:
        yield client


@pytest.fixture
def grpc(compose: Compose) -> Iterator[GrpcClient]:
    with GrpcClient(f"127.0.0.1:{GRPC_PORT}") as client:
        yield client


def test_every_container_is_healthy(compose: Compose) -> None:
    lines = compose("ps", "--format", "json").splitlines()
    states = {row["Service"]: row["Health"] for row in map(json.loads, lines)}
    assert states == {"model-server": "healthy", "gateway": "healthy"}


def test_an_image_is_classified_the_same_over_http_and_grpc(
    http: Client, grpc: GrpcClient, images: list[Path]
) -> None:
    assert http.ready()
    assert {model.name for model in http.models()} == {A, B}
    over_http = http.classify(A, images, top_k=8)
    over_grpc = grpc.classify(A, images, top_k=8)
    assert len(over_http) == len(images)
    for one, other in zip(over_http, over_grpc, strict=True):
        assert [found.label for found in one.classes] == [found.label for found in other.classes]
        assert one.classes[0].probability == pytest.approx(other.classes[0].probability, abs=1e-6)
        assert sum(found.probability for found in one.classes) == pytest.approx(1, abs=1e-4)


def test_containers_run_without_privileges(compose: Compose) -> None:
    for service in ("model-server", "gateway"):
        assert compose("exec", "-T", service, "id", "-u").strip() == "10001"
        # /var/tmp may be written to, unless the root is read-only.
        command = "touch /models/x /var/tmp/x 2>/dev/null; ls /models/x /var/tmp/x 2>/dev/null || echo none"
        assert compose("exec", "-T", service, "bash", "-c", command).strip() == "none"
        limits = compose("exec", "-T", service, "grep", "-E", "CapBnd|NoNewPrivs", "/proc/1/status").split()
        assert limits == ["CapBnd:", "0000000000000000", "NoNewPrivs:", "1"]


def test_a_second_version_is_served_while_it_runs(http: Client, exported: Path, images: list[Path]) -> None:
    before = http.classify(A, images[0])
    assert before[0].version == 1
    folders = ("--runs", exported / "runs", "--models", exported / "models")
    train("export", "--profile", "sample", "--force", *folders)
    # Each of these calls has to succeed.
    until(lambda: http.classify(A, images[0])[0].version == 2, "version 2 is not served")


def test_models_of_somebody_else_are_imported_while_it_runs(
    http: Client, grpc: GrpcClient, exported: Path, tmp_path: Path
) -> None:
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    made = [sys.executable, ROOT / "tests/keras_files.py", tmp_path]
    subprocess.run(made, env=quiet, check=True, timeout=300)
    models = ("--models", exported / "models")
    for model in (("flowers.keras", "--labels", "labels.txt"), ("numbers.keras",)):
        command = [Path(sys.executable).with_name("keraserve"), "import", *model, *models]
        subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    wanted = {"flowers", "numbers"}
    until(lambda: wanted <= {each.name for each in http.models() if each.available}, "they are not served")
    predicted = json.loads((tmp_path / "predicted.json").read_text())
    labels = (tmp_path / "labels.txt").read_text().split()
    for client in (http, grpc):
        responses = client.classify("flowers", sorted(tmp_path.glob("*.png")))
        for response, probabilities in zip(responses, predicted["flowers"], strict=True):
            found = {each.label: each.probability for each in response.classes}
            assert [found[label] for label in labels] == pytest.approx(probabilities, abs=1e-6)
        sums = client.predict("numbers", predicted["rows"])["sum"]
        assert sums.tolist() == [pytest.approx(each, abs=1e-5) for each in predicted["numbers"]]


def queries() -> list[str]:
    """Every query of the dashboard that has data, with values for its variables, as by Grafana."""
    dashboard = json.loads((ROOT / "docker/grafana/dashboards/serving.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", ())]
    wanted = [one["expr"].replace("$__rate_interval", "30s").replace("$model", ".*") for one in targets]
    if GIVEN_IMAGE:  # it has no metrics by version, and does not batch unless it is told to
        wanted = [
            query for query in wanted if not re.search(r"keraserve_(?!gateway)|batching_session", query)
        ]
    return wanted


def test_prometheus_has_data_for_every_query_of_the_dashboard(
    compose: Compose, http: Client, images: list[Path]
) -> None:
    compose("up", "--detach", "prometheus")

    def without_data(prometheus: httpx2.Client) -> list[str]:
        http.classify(A, images)
        try:
            given = {query: prometheus.get("/api/v1/query", params={"query": query}) for query in wanted}
        except httpx2.TransportError:  # Docker's proxy closes the connection until Prometheus listens
            return wanted
        if any(response.status_code == HTTPStatus.SERVICE_UNAVAILABLE for response in given.values()):
            return wanted  # it still reads its stored data
        responses = {query: response.json() for query, response in given.items()}
        assert all(response["status"] == "success" for response in responses.values()), responses
        return [query for query, response in responses.items() if not response["data"]["result"]]

    wanted = queries()
    assert len(wanted) > 10
    give_up = time.monotonic() + 120
    with httpx2.Client(base_url=f"http://127.0.0.1:{PROMETHEUS_PORT}") as prometheus:
        while missing := without_data(prometheus):
            assert time.monotonic() < give_up, missing
            time.sleep(1)
        targets = prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]
    assert {(one["labels"]["job"], one["health"]) for one in targets} == {
        ("gateway", "up"),
        ("model-server", "up"),
    }


def test_the_training_image_trains_and_exports(compose: Compose, tmp_path: Path) -> None:
    for name in ("models", "runs"):
        (tmp_path / name).mkdir()
    compose("build", "training")
    training = Compose(tmp_path / "models", tmp_path / "runs")
    run = ("run", "--rm", "--user", f"{os.getuid()}:{os.getgid()}", "training")
    training(*run, "run", "fashion-mnist-reuse", "--profile", "sample")
    training(*run, "export", "--profile", "sample")
    assert (tmp_path / "models" / A / "1" / "saved_model.pb").is_file()


def test_the_gateway_image_is_small(compose: Compose) -> None:
    """At most 70 MB more than the base: less than 200 MB with the public slim image (125 MB)."""

    def size(image: str) -> int:
        command = ["docker", "image", "inspect", image, "--format", "{{.Size}}"]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    assert size("keraserve-gateway") - size("python:3.11-slim-bookworm") < 70_000_000


def test_the_gateway_is_stopped_before_the_model_server(compose: Compose) -> None:
    compose("stop")

    def ended(service: str) -> tuple[str, int]:
        container = compose("ps", "--all", "--quiet", service).strip()
        command = ["docker", "inspect", "--format", "{{json .State}}", container]
        state = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        return state["FinishedAt"], state["ExitCode"]

    (gateway, its_code), (model_server, other_code) = ended("gateway"), ended("model-server")
    assert gateway < model_server
    assert its_code == 0  # drained, not killed
    # The shell in which the image of TensorFlow Serving starts it ends by the signal, and the server with it.
    assert other_code in ({0, 128 + signal.SIGTERM} if GIVEN_IMAGE else {0})


def test_the_readmes_commands_work(compose: Compose) -> None:
    """In their order; if no image was named, with the embedded server's in place of tensorflow/serving."""
    compose("stop")  # frees the ports
    text = (ROOT / "README.md").read_text()
    lines = re.findall(r"^docker compose .*$", text, re.MULTILINE)
    assert len(lines) >= 5
    project = {"COMPOSE_PROJECT_NAME": "keraserve-readme", "TF_SERVING_IMAGE": TF_SERVING_IMAGE}
    environment = {**compose.environment, **project}
    for line in lines:
        command = ["bash", "-euc", line]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if " ps" in line:
            assert done.stdout.count("(healthy)") == 2
    # `run` creates the networks again after the last `down`.
    subprocess.run(["docker", "compose", "down", "--volumes"], cwd=ROOT, env=environment, check=True)
