"""One gateway, three model servers as three processes: requests spread, and one that goes away loses none."""

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
from programs import BIN
from stack import free_port

from keraserve_client import Client, KeraserveError

# Each server serves a version of its own: the version of a response says who gave it.
SERVERS = (1, 2, 3)


class ModelServer:
    """`keraserve-embedded` with version `number` of `colours`, on a port that it keeps."""

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
def ask(
    servers: dict[int, ModelServer], red: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], int]]:
    """Classify an image through the gateway, without a retry; gives the version that answered."""
    addresses = ",".join(f"127.0.0.1:{server.port}" for server in servers.values())
    port = free_port()
    command = [BIN / "keraserve-gateway", f"--port={port}", "--grpc-port=0", "--models=colours"]
    log = tmp_path_factory.mktemp("gateway") / "log"
    with log.open("wb") as out:
        gateway = subprocess.Popen([*command, f"--model-server=ipv4:{addresses}"], stdout=out, stderr=out)
    try:
        with Client(f"http://127.0.0.1:{port}", retries=0) as client:
            ask = lambda: client.classify("colours", red)[0].version  # noqa: E731
            wait_for(lambda: responses(ask), "no model server answers")
            wait_for(lambda: {ask() for _ in range(6)} == set(SERVERS), "not all of them answer")
            yield ask
    finally:
        gateway.terminate()
        gateway.wait(30)


def responses(ask: Callable[[], int]) -> bool:
    try:
        return ask() > 0
    except KeraserveError:
        return False


def wait_for(true: Callable[[], bool], otherwise: str, seconds: float = 240) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.1)


@pytest.mark.shows("several: in turn; one")
def test_requests_spread_evenly(ask: Callable[[], int]) -> None:
    counted = Counter(ask() for _ in range(90))
    assert counted == dict.fromkeys(SERVERS, 30)


def test_one_that_goes_away_loses_no_request_and_is_used_again(
    ask: Callable[[], int], servers: dict[int, ModelServer]
) -> None:
    seen: list[int] = []
    stop = threading.Event()
    failed: list[KeraserveError] = []

    def load() -> None:
        while not stop.is_set():
            try:
                seen.append(ask())
            except KeraserveError as error:
                failed.append(error)
            time.sleep(0.005)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(seen) > 30, "nothing is answered")
        servers[2].stop()
        before = len(seen)
        wait_for(lambda: len(seen) > before + 60, "nothing is answered")
        assert set(seen[before + 10 :]) == {1, 3}
        servers[2].start()
        wait_for(lambda: 2 in seen[before + 10 :], "the server that came back is not used")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed
