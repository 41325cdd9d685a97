"""`keraserve-embedded` as an operator runs it: one process with flags, logs and an exit status."""

import base64
import contextlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx2
import pytest
from embedded.requests import image_request, until, wait_request
from free_ports import free_port
from grpc_health.v1 import health_pb2, health_pb2_grpc
from saved_models import save

from keraserve_protocol import messages as m
from keraserve_protocol import model_config
from keraserve_protocol.services import Stub
from keraserve_protocol.tensors import from_proto

PROGRAM = Path(sys.executable).with_name("keraserve-embedded")
EVENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) \S.*")


class Process:
    """A server process; its log is read while it runs."""

    def __init__(self, *flags: str) -> None:
        command = [str(PROGRAM), "--port=0", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        self.lines.extend(iter(lambda: self.process.stderr.readline().rstrip("\n"), ""))  # type: ignore[union-attr]

    def _logged(self, text: str) -> str | None:
        return next((line for line in list(self.lines) if text in line), None)

    def until_logged(self, text: str, seconds: float = 180) -> str:
        until(lambda: self._logged(text) or not self._reader.is_alive(), seconds)
        line = self._logged(text)
        assert line, self.lines
        return line

    def channel(self) -> grpc.Channel:
        return grpc.insecure_channel(self.until_logged("gRPC on ").rsplit(" ", 1)[1])

    def ended(self, seconds: float = 30) -> int:
        status = self.process.wait(seconds)
        self._reader.join(5)
        assert self.process.stdout
        assert self.process.stdout.read() == ""
        self.process.stdout.close()
        assert self.process.stderr
        self.process.stderr.close()
        return status


@pytest.fixture
def run() -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def start(*flags: str) -> Process:
        processes.append(Process(*flags))
        return processes[-1]

    yield start
    for process in processes:
        if process.process.poll() is None:
            process.process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.ended()


def write_config(path: Path, *models: str, **labels: int) -> None:
    """Replace the config atomically; base paths are those of a container."""
    config = m.ModelServerConfig()
    config.model_config_list.SetInParent()
    for name in models:
        entry = config.model_config_list.config.add(name=name, base_path=f"/nowhere/models/{name}")
        entry.model_platform = "tensorflow"
        if name == "colours":
            entry.version_labels.update(labels)
    path.with_suffix(".new").write_text(model_config.render(config))
    path.with_suffix(".new").rename(path)


def ask(stub: Stub, image: bytes, label: str | None = None) -> str:
    return from_proto(stub.predict(image_request(image, label=label)).outputs["label"]).item().decode()


def status(http: httpx2.Client) -> str:
    return str(http.get("/v1/models/colours").status_code)


def ask_rest(http: httpx2.Client, image: bytes, version: str = "") -> str:
    body = {"signature_name": "image_bytes", "instances": [{"b64": base64.b64encode(image).decode()}]}
    response = http.post(f"/v1/models/colours{version}:predict", json=body)
    assert response.status_code == 200, response.text
    return response.json()["predictions"][0]["label"]


def test_a_server_follows_its_configuration_serves_and_drains(
    repository: Path, many: Path, red: bytes, run: Callable[..., Process]
) -> None:
    shutil.copytree(many / "waiting", repository / "waiting")
    config = repository / "models.config"
    write_config(config, "colours", stable=1)
    monitoring = repository / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true, path: "/metrics" }')
    port = free_port()
    server = run(
        f"--model_config_file={config}",
        f"--rest_api_port={port}",
        f"--monitoring_config_file={monitoring}",
        "--model_config_file_poll_wait_seconds=1",
        "--file_system_poll_wait_seconds=1",
        "--enable_grpc_healthcheck_service",
        "--drain_seconds=20",
    )
    http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)
    with server.channel() as channel, http:
        stub = Stub(channel)
        server.until_logged(f"REST on http://127.0.0.1:{port}/v1/models")
        assert (ask(stub, red), ask(stub, red, "stable")) == ("red", "red")
        assert (ask_rest(http, red), ask_rest(http, red, "/labels/stable")) == ("red", "red")
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING

        config.write_text("model_config_list {")
        server.until_logged("the models stay as they are")
        write_config(config, "colours", "waiting", stable=2)
        server.until_logged("waiting 1 available")
        server.until_logged("label stable waits for version 2")

        heard, done = list[str](), threading.Event()

        def keep_asking(*ways: Callable[[], str]) -> int:
            while not done.is_set():
                heard.extend(way() for way in ways)
            return len(heard)

        askers = ThreadPoolExecutor(4)
        asking = [
            askers.submit(keep_asking, lambda: ask(stub, red, "stable"), lambda: ask(stub, red)),
            askers.submit(keep_asking, lambda: ask_rest(http, red, "/labels/stable")),
            askers.submit(keep_asking, lambda: ask_rest(http, red), lambda: status(http)),
        ]
        save(repository / "colours", 2, ["RED", "GREEN", "BLUE"])
        server.until_logged("label stable is version 2")
        server.until_logged("colours 1 unloaded")
        done.set()
        assert all(one.result() for one in asking)  # not one has failed
        assert set(heard) <= {"red", "RED", "200"}
        assert ask(stub, red, "stable") == ask_rest(http, red, "/labels/stable") == "RED"
        assert (
            ':tensorflow:serving:request_count{model_name="colours",status="OK"}' in http.get("/metrics").text
        )

        running = stub.predict.future(wait_request(2.0))
        over_rest = askers.submit(http.post, "/v1/models/waiting:predict", json={"inputs": [2.0]})
        time.sleep(0.5)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.until_logged("draining")
        with pytest.raises(grpc.RpcError) as rejected:
            ask(stub, red)
        assert rejected.value.code() == grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
        assert http.get("/v1/models/colours").status_code == 503
        assert running.result(timeout=20).model_spec.name == "waiting"
        assert over_rest.result(20).status_code == 200
    assert server.ended() == 0
    assert time.monotonic() - began < 18
    assert all(EVENT.fullmatch(line) for line in server.lines), server.lines
    assert " INFO memory: " in server.lines[0]
    assert "colours 1 available" in server.lines[1]


def test_a_second_signal_ends_it_at_once(many: Path, run: Callable[..., Process]) -> None:
    server = run("--model_name=waiting", f"--model_base_path={many / 'waiting'}")
    with server.channel() as channel:
        running = Stub(channel).predict.future(wait_request(30.0))
        time.sleep(0.3)
        server.process.send_signal(signal.SIGINT)
        server.until_logged("draining")
        time.sleep(0.2)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.ended(10) == 128 + signal.SIGTERM
        assert running.exception(timeout=5) is not None
    assert all(EVENT.fullmatch(line) for line in server.lines), server.lines


def test_a_model_that_cannot_be_loaded_ends_the_start(repository: Path, run: Callable[..., Process]) -> None:
    shutil.rmtree(repository / "colours" / "1" / "variables")
    server = run("--model_name=colours", f"--model_base_path={repository / 'colours'}")
    assert server.ended(180) == 1
    assert [line.split(" ", 2)[1] for line in server.lines] == ["INFO", "ERROR", "ERROR"]
    assert all(EVENT.fullmatch(line) for line in server.lines), server.lines
    assert "colours 1 can't be loaded" in server.lines[-1]


def test_help_and_a_taken_port_do_not_load_tensorflow(run: Callable[..., Process], tmp_path: Path) -> None:
    began = time.monotonic()
    helped = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert "--model_config_file_poll_wait_seconds" in helped.stdout
    holder = grpc.server(None)  # type: ignore[arg-type]
    port = holder.add_insecure_port("127.0.0.1:0")
    server = run("--model_base_path=/models/a", f"--port={port}")
    assert server.ended() == 1
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in server.lines[-1]
    assert time.monotonic() - began < 15
