"""A gateway with three model servers: it uses them in turn, and no request fails when one stops."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from free_ports import free_port
from programs import BIN
from waiting import until

from keraserve_client import Client, KeraserveError

# Each server has another version, so the version of a response tells which server sent it.
SERVERS = (1, 2, 3)


class ModelServer:
    """`keraserve-embedded` with version `number` of `colours`, always on the same port."""

    def __init__(self, number: int, models: Path, log: Path) -> None:
        self.port = free_port()
        self._log = log / f"server-{number}.log"
        self._config = log / f"server-{number}.config"
        self._config.write_text(
            'model_config_list { config { name: "colours" model_platform: "tensorflow" '
            f'base_path: "{models / "colours"}" '
            f"model_version_policy {{ specific {{ versions: {number} }} }} }} }}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [BIN / "keraserve-embedded", f"--port={self.port}", f"--model_config_file={self._config}"]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(40)
            self._process = None


@pytest.fixture(scope="module")
def servers(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, ModelServer]]:
    folder = tmp_path_factory.mktemp("several")
    for number in SERVERS:
        shutil.copytree(models / "colours/1", folder / f"models/colours/{number}")
    servers = {number: ModelServer(number, folder / "models", folder) for number in SERVERS}
    with ExitStack() as exits:
        for server in servers.values():
            exits.callback(server.stop)
            server.start()
        yield servers


@pytest.fixture(scope="module")
def classify(
    servers: dict[int, ModelServer], red: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], int]]:
    """Classifies an image through the gateway, without retries; returns the version."""
    addresses = ",".join(f"127.0.0.1:{server.port}" for server in servers.values())
    port = free_port()
    command = [BIN / "keraserve-gateway", f"--port={port}", "--grpc-port=0", "--models=colours"]
    log = tmp_path_factory.mktemp("gateway") / "log"
    with log.open("wb") as out:
        gateway = subprocess.Popen([*command, f"--model-server=ipv4:{addresses}"], stdout=out, stderr=out)
    try:
        with Client(f"http://127.0.0.1:{port}", retries=0) as client:
            classify = lambda: client.classify("colours", red)[0].version  # noqa: E731
            until(lambda: succeeds(classify), "no model server responds", 240)
            until(lambda: {classify() for _ in range(6)} == set(SERVERS), "not all of them respond", 240)
            yield classify
    finally:
        gateway.terminate()
        gateway.wait(30)


def succeeds(classify: Callable[[], int]) -> bool:
    try:
        return classify() > 0
    except KeraserveError:
        return False


@pytest.mark.shows("several: in turn; one")
def test_requests_spread_evenly(classify: Callable[[], int]) -> None:
    counted = Counter(classify() for _ in range(90))
    assert counted == dict.fromkeys(SERVERS, 30)


def test_no_request_fails_when_a_model_server_stops_and_returns(
    classify: Callable[[], int], servers: dict[int, ModelServer]
) -> None:
    seen: list[int] = []
    stop = threading.Event()
    failed: list[KeraserveError] = []

    def load() -> None:
        while not stop.is_set():
            try:
                seen.append(classify())
            except KeraserveError as error:
                failed.append(error)
            time.sleep(0.005)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(seen) > 30, "no response comes", 240)
        servers[2].stop()
        before = len(seen)
        until(lambda: len(seen) > before + 60, "no response comes", 240)
        assert set(seen[before + 10 :]) == {1, 3}
        servers[2].start()
        until(lambda: 2 in seen[before + 10 :], "the server that came back is not used", 240)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed
