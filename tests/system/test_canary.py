"""Two versions of one model: share, promote and rollback under load, and no request fails."""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from programs import train
from stack import Ports, Stack, running
from waiting import until

from keraserve_client import Client, GrpcClient
from keraserve_protocol import messages, model_config

MODEL = "colours"
SHARE, REQUESTS = 0.2, 500


@pytest.fixture(scope="module")
def repository(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1 and 2 of `colours`, both configured as `export` does it, 1 with the label `stable`."""
    folder = tmp_path_factory.mktemp("canary")
    for version in (1, 2):
        add(models, folder, version)
    config = messages.ModelServerConfig()
    entry = config.model_config_list.config.add(
        name=MODEL, base_path=str(folder / MODEL), model_platform="tensorflow"
    )
    entry.model_version_policy.latest.num_versions = 2
    entry.version_labels["stable"] = 1
    (folder / "models.config").write_text(model_config.render(config))
    return folder


def add(models: Path, folder: Path, version: int) -> None:
    """Copy version 1 to another number, atomically."""
    part = folder / f"part-{version}"
    shutil.copytree(models / MODEL / "1", part)
    (folder / MODEL).mkdir(exist_ok=True)
    part.rename(folder / MODEL / str(version))


class Load:
    """Requests over HTTP and gRPC without pauses and retries; the versions of the responses."""

    def __init__(self, stack: Stack, image: bytes) -> None:
        self.responses: list[int] = []
        self.failures: list[Exception] = []
        self._stop = threading.Event()
        clients = (lambda: Client(stack.url, retries=0), lambda: GrpcClient(stack.grpc, retries=0))
        self._threads = [threading.Thread(target=self._classify, args=(make, image)) for make in clients]

    @contextmanager
    def on(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def _classify(self, make: Callable[[], Client | GrpcClient], image: bytes) -> None:
        with make() as client:
            while not self._stop.is_set():
                try:
                    self.responses.append(client.classify(MODEL, image)[0].version)
                except Exception as error:
                    self.failures.append(error)
                    return

    def until(self, versions: set[int]) -> None:
        """Wait until 20 responses in a row are of just these versions."""
        give_up = time.monotonic() + 120
        while True:
            begin = len(self.responses)
            while len(self.responses) < begin + 20:
                assert not self.failures, self.failures
                assert time.monotonic() < give_up, Counter(self.responses[begin:])
                time.sleep(0.01)
            if set(self.responses[begin:]) == versions:
                return


def test_share_promote_and_rollback_under_load(repository: Path, models: Path, red: bytes) -> None:
    def command(*arguments: str) -> None:
        train(arguments[0], MODEL, *arguments[1:], "--models", repository)

    with running(repository, Ports(0, 0, 0), logs=repository / "logs") as stack:
        load = Load(stack, red)
        with load.on():
            load.until({2})  # no canary: the newest
            command("canary", "--share", str(SHARE))
            load.until({1, 2})
            begin = len(load.responses)
            while len(load.responses) < begin + REQUESTS and not load.failures:
                time.sleep(0.05)
            found = Counter(load.responses[begin : begin + REQUESTS])
            command("promote")
            load.until({2})
            with Client(stack.url) as client:  # the model server has moved its own label too
                until(lambda: client.classify(MODEL, red, label="stable")[0].version == 2, "2 is not stable")
            command("rollback")
            load.until({1})
            add(models, repository, 3)
            command("canary", "--share", "1")  # before the model server has loaded it
            load.until({3})
            command("rollback")
            load.until({1})
        assert not load.failures
        metrics = httpx2.get(f"{stack.url}/metrics").text
    assert set(found) == {1, 2}
    deviation = (REQUESTS * SHARE * (1 - SHARE)) ** 0.5
    assert abs(found[2] - REQUESTS * SHARE) < 5 * deviation  # fails by chance in one of two million runs
    for version in (1, 2, 3):
        for protocol, code in (("http", "200"), ("grpc", "OK")):
            names = f'code="{code}",model="{MODEL}",protocol="{protocol}",version="{version}"'
            assert f"keraserve_gateway_requests_total{{{names}}}" in metrics
    assert f'keraserve_gateway_canary_share{{model="{MODEL}"}} 0.0' in metrics
