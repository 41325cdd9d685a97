"""The gateway with the model server in its own process gives the same responses."""

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from conftest import png
from free_ports import free_ports
from gateway.conftest import ENVIRONMENT
from prometheus_client.parser import text_string_to_metric_families

from keraserve_protocol import messages as m
from keraserve_protocol import model_config, services
from keraserve_protocol.number_text import MOST_NUMBERS
from keraserve_protocol.tensors import from_proto, to_proto

PROGRAM = str(Path(sys.executable).with_name("keraserve-gateway"))
QUIET = {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""}


class OneProcess:
    """A running gateway with the model server in its process."""

    def __init__(self, repository: Path, http: int, grpc_port: int, log: Path) -> None:
        self.url, self.grpc = f"http://127.0.0.1:{http}", f"127.0.0.1:{grpc_port}"
        self.repository, self._log = repository, log
        flags = [f"--port={http}", f"--grpc-port={grpc_port}", "--model-server=in-process"]
        flags += [f"--model-config-file={repository / 'models.config'}"]
        flags += ["--model-server-flags=--file_system_poll_wait_seconds=1"]
        with log.open("wb") as out:
            self.process = subprocess.Popen([PROGRAM, *flags], stdout=out, stderr=out, env=QUIET)

    def until(self, happened: Callable[[], bool], seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                if happened():
                    return
            except httpx2.TransportError:
                pass
            assert time.monotonic() < end, self._log.read_text()
            assert self.process.poll() is None, self._log.read_text()
            time.sleep(0.05)

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(self.url + path)

    def state(self, version: int) -> str:
        (model,) = self.get("/v1/models").json()["models"]
        return {one["version"]: one["state"] for one in model["versions"]}.get(version, "")


@pytest.fixture(scope="module")
def one_process(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneProcess]:
    """Its own copy of `colours`, with a models.config whose base path is of another machine."""
    folder = tmp_path_factory.mktemp("one-process")
    shutil.copytree(models, folder / "models")
    config = model_config.read(models / "models.config")
    config.model_config_list.config[0].base_path = "/nowhere/colours"
    (folder / "models/models.config").write_text(model_config.render(config))
    ports = free_ports(2)
    running = OneProcess(folder / "models", *ports, folder / "log")
    try:
        # The ports respond while TensorFlow is still being loaded.
        running.until(lambda: running.get("/livez").status_code == 200)
        assert running.get("/readyz").status_code == 503
        rejected = httpx2.post(f"{running.url}/v1/models/colours:predict", json={"instances": PIXELS})
        assert (rejected.status_code, rejected.json()) == (503, {"error": "the models are being loaded"})
        running.until(lambda: running.get("/readyz").status_code == 200)
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait(20)


RED = png(230, 20, 20)
BROKEN = RED[:45] + b"\0\0\0\0" + RED[49:]
PIXELS = [[[[230, 20, 20]]], [[[20, 230, 20]]]]
MODEL = "/v1/models/colours"
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/v1/models", {}),
    ("GET", MODEL, {}),
    ("GET", f"{MODEL}/versions/1/metadata", {}),
    ("GET", f"{MODEL}/versions/7", {}),
    ("GET", "/v1/models/absent", {}),
    ("POST", f"{MODEL}/images:classify?top_k=2", {"content": RED}),
    ("POST", f"{MODEL}/labels/stable/images:classify", {"files": [("a", RED), ("b", png(20, 230, 20))]}),
    ("POST", f"{MODEL}/images:classify", {"files": [("a", RED), ("b", BROKEN)]}),
    ("POST", f"{MODEL}/labels/absent/images:classify", {"content": RED}),
    ("POST", "/v1/models/absent/images:classify", {"content": RED}),
    ("POST", f"{MODEL}:predict", {"json": {"instances": PIXELS}}),
    ("POST", f"{MODEL}/versions/7:predict", {"json": {"instances": PIXELS}}),
    ("POST", f"{MODEL}:predict", {"json": {"inputs": [[1, 2], [3]]}}),
    ("POST", f"{MODEL}:predict", {"json": {"signature_name": "absent", "instances": PIXELS}}),
    ("POST", f"{MODEL}:predict", {"json": {"instances": [[[[0, 0, 0]] * 160] * 160]}}),  # long: in a thread
    ("POST", f"{MODEL}:classify", {"json": {"signature_name": "classify", "examples": [{"x": 1.0}]}}),
    ("POST", f"{MODEL}:regress", {"json": {"examples": [{"x": 1.0}]}}),
    ("GET", "/v2/models/colours", {}),
]


@pytest.mark.shows("KERASERVE_MODEL_SERVER")
@pytest.mark.parametrize(("method", "path", "how"), REQUESTS, ids=lambda one: one if type(one) is str else "")
async def test_responses_equal_those_of_a_separate_model_server(
    one_process: OneProcess, gateway: httpx2.AsyncClient, method: str, path: str, how: dict[str, Any]
) -> None:
    wanted = await gateway.request(method, path, **how)
    async with httpx2.AsyncClient(base_url=one_process.url) as client:
        got = await client.request(method, path, **how)
    assert got.status_code == wanted.status_code, got.text
    found, expected = ({**one.json(), "request_id": ""} for one in (got, wanted))
    assert found == expected


def test_concurrent_requests_get_their_own_responses(one_process: OneProcess) -> None:
    colours = [png(230, 20, 20), png(20, 230, 20), png(20, 20, 230)] * 10

    def classify(image: bytes) -> str:
        response = httpx2.post(f"{one_process.url}{MODEL}/images:classify", content=image)
        return response.json()["predictions"][0]["classes"][0]["label"]

    with ThreadPoolExecutor(30) as threads:
        labels = list(threads.map(classify, colours))
    assert labels == ["red", "green", "blue"] * 10


def test_grpc_calls_reach_the_engine(one_process: OneProcess) -> None:
    made = m.PredictRequest(model_spec=m.model_spec("colours"))
    made.inputs["images"].CopyFrom(to_proto(np.array(PIXELS, np.uint8)))
    with grpc.insecure_channel(one_process.grpc) as channel:
        stub = services.Stub(channel)
        response = stub.predict(made)
        assert from_proto(response.outputs["label"]).tolist() == [b"red", b"green"]
        assert response.outputs["probabilities"].tensor_content
        made.model_spec.name = "absent"
        for call, request, code in [
            (stub.predict, made, "NOT_FOUND"),
            (stub.reload_config, m.ReloadConfigRequest(), "PERMISSION_DENIED"),
        ]:
            with pytest.raises(grpc.RpcError) as rejected:
                call(request)
            assert rejected.value.code().name == code  # type: ignore[attr-defined]
        spec = m.model_spec("colours")
        status = stub.get_model_status(m.GetModelStatusRequest(model_spec=spec))
        assert status.model_version_status[0].state == m.ModelVersionStatus.AVAILABLE
        garbled = channel.unary_unary(services.PREDICT.path)
        with pytest.raises(grpc.RpcError) as rejected:
            garbled(b"\xff")
        assert rejected.value.code().name == "INVALID_ARGUMENT"  # type: ignore[attr-defined]
        made.inputs["images"].int_val.extend([1] * (MOST_NUMBERS + 1))
        with pytest.raises(grpc.RpcError, match="4194305 packed integers, 4194304 are allowed; send tensor_"):
            stub.predict(made)


def test_the_engines_metrics_are_among_the_gateways(one_process: OneProcess) -> None:
    httpx2.post(f"{one_process.url}{MODEL}/images:classify", content=RED)
    families = {
        family.name: family for family in text_string_to_metric_families(one_process.get("/metrics").text)
    }
    assert families["keraserve_gateway_requests"].samples
    rows = families["keraserve_batch_rows"].samples
    assert {"model_name": "colours", "version": "1"}.items() <= rows[0].labels.items()
    assert ":tensorflow:serving:batching_session:processed_batch_size" in families


def test_versions_are_loaded_while_it_runs_and_sigterm_drains(one_process: OneProcess) -> None:
    beside = one_process.repository / "beside"
    shutil.copytree(one_process.repository / "colours/1", beside)
    beside.rename(one_process.repository / "colours/2")
    one_process.until(lambda: one_process.state(2) == "AVAILABLE")
    codes: list[int] = []

    def send_until_closed() -> None:
        while True:
            try:
                codes.append(
                    httpx2.post(f"{one_process.url}{MODEL}/images:classify", content=RED).status_code
                )
            except httpx2.TransportError:
                return

    callers = [threading.Thread(target=send_until_closed) for _ in range(4)]
    for caller in callers:
        caller.start()
    one_process.until(lambda: len(codes) > 8)
    one_process.process.send_signal(signal.SIGTERM)
    assert one_process.process.wait(30) == 0
    for caller in callers:
        caller.join(10)
    assert set(codes) <= {200, 503}


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, "--port=0", "--grpc-port=0", "--model-server=in-process", *flags]
    return subprocess.run(command, capture_output=True, text=True, env=QUIET, timeout=120)


@pytest.mark.shows("KERASERVE_MODEL_SERVER_FLAGS")
def test_the_start_ends_with_a_sentence_if_a_model_cannot_be_served(tmp_path: Path) -> None:
    ended = run()
    assert ended.returncode == 2
    assert "give --model_config_file" in ended.stderr
    ended = run("--model-server-flags=--model_base_path=/m --enable_batching --batching_parameters_file=gone")
    assert ended.returncode == 2
    assert "can't read gone" in ended.stderr
    (tmp_path / "broken/1").mkdir(parents=True)
    (tmp_path / "broken/1/saved_model.pb").write_bytes(b"no graph")
    ended = run(f"--model-server-flags=--model_base_path={tmp_path / 'broken'}")
    assert ended.returncode == 1
    assert "keraserve-gateway: default 1 can't be loaded: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_the_extra_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['keraserve_embedded'] = None\n"
        "from keraserve_gateway.cli import main\n"
        "sys.exit(main(['--port=0', '--grpc-port=0', '--model-server=in-process']))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=QUIET)
    assert ended.returncode == 1
    assert "pip install keraserve-gateway[embedded]" in ended.stderr
    assert "Traceback" not in ended.stderr
