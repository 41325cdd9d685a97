"""The Swarm stack with real containers: model servers and a version are replaced under load."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from programs import GIVEN_IMAGE, ROOT, TF_SERVING_IMAGE
from waiting import until

from keraserve_client import Client, KeraserveError

pytestmark = pytest.mark.containers

STACK, HTTP_PORT, GRPC_PORT = "keraserve-test", 18100, 18600
SERVERS, CALLERS = 3, 2
# TensorFlow Serving does not drain: what it works on when it is stopped is lost, docs/deployment.md says.
MOST_LOST = SERVERS * CALLERS if GIVEN_IMAGE else 0
MODEL_SERVER, GATEWAY = f"{STACK}_model-server", f"{STACK}_gateway"


def docker(*arguments: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def containers(service: str) -> set[str]:
    return set(docker("ps", "--quiet", "--filter", f"label=com.docker.swarm.service.name={service}").split())


@pytest.fixture(scope="module")
def repository(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository for this test, which the containers' user may read."""
    folder = tmp_path_factory.mktemp("swarm") / "models"
    shutil.copytree(models, folder)
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def client(docker_images: None, repository: Path) -> Iterator[Client]:
    """A client without retries of the deployed stack, when every model server is connected."""
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}") != "inactive":
        pytest.skip("this engine is in a swarm already")
    docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    settings = {
        "MODELS": str(repository),
        "TF_SERVING_IMAGE": TF_SERVING_IMAGE,
        "HTTP_PORT": str(HTTP_PORT),
        "GRPC_PORT": str(GRPC_PORT),
    }
    deploy = ("stack", "deploy", "--detach=true", "--resolve-image=never")
    try:
        docker(*deploy, "--compose-file=docker/swarm/stack.yaml", STACK, environment=settings)
        with Client(f"http://127.0.0.1:{HTTP_PORT}", retries=0) as client:
            until(lambda: ready(client) and connected() == SERVERS, "the stack does not come up", 240)
            yield client
    finally:
        docker("stack", "rm", STACK)
        until(lambda: not containers(MODEL_SERVER) | containers(GATEWAY), "the stack does not stop", 240)
        docker("swarm", "leave", "--force")


def ready(client: Client) -> bool:
    try:
        return client.ready()
    except KeraserveError:
        return False


def connected() -> int:
    """The number of model servers to which the gateway has a connection."""
    (gateway,) = containers(GATEWAY)
    rows = [line.split() for line in docker("exec", gateway, "cat", "/proc/net/tcp").splitlines()[1:]]
    established = {row[2] for row in rows if row[3] == "01"}
    return len({remote for remote in established if remote.endswith(f":{8500:04X}")})


def lost() -> str:
    """The lines of the gateway's log on failed calls."""
    log = subprocess.run(["docker", "service", "logs", "--raw", GATEWAY], capture_output=True, text=True)
    lines = (log.stdout + log.stderr).splitlines()
    return "\n".join(line for line in lines if "model server unavailable" in line)


@dataclass
class Load:
    """The versions of the responses, and the errors."""

    versions: list[int] = field(default_factory=list[int])
    errors: list[KeraserveError] = field(default_factory=list[KeraserveError])


@contextmanager
def load(client: Client, image: bytes) -> Iterator[Load]:
    """Two callers send about 50 requests a second each while the block runs."""
    stop, seen = threading.Event(), Load()

    def classify() -> None:
        while not stop.wait(0.02):
            try:
                seen.versions.append(client.classify("colours", image)[0].version)
            except KeraserveError as error:
                seen.errors.append(error)

    callers = [threading.Thread(target=classify) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield seen
    finally:
        stop.set()
        for caller in callers:
            caller.join()


@pytest.mark.shows("so is what a", "several: in turn; one")
def test_model_servers_are_replaced_without_a_lost_request(client: Client, red: bytes) -> None:
    before = containers(MODEL_SERVER)
    assert len(before) == SERVERS
    with load(client, red) as seen:
        update = ("--update-delay=1s", "--update-monitor=1s", "--force", "--quiet")
        docker("service", "update", *update, MODEL_SERVER)
        until(lambda: len(containers(MODEL_SERVER)) == SERVERS, "there are not three again", 240)
        until(lambda: connected() == SERVERS, "the gateway does not find the new ones", 240)
    assert not containers(MODEL_SERVER) & before
    assert len(seen.errors) <= MOST_LOST, lost()
    assert set(seen.versions) == {1}


def test_a_new_version_comes_without_a_lost_request(client: Client, red: bytes, repository: Path) -> None:
    versions = repository / "colours"
    with load(client, red) as seen:
        shutil.copytree(versions / "1", versions / ".saving-2")
        (versions / ".saving-2").rename(versions / "2")
        # The three servers load it at different moments, so responses are of either version for a while.
        until(lambda: set(seen.versions[-60:]) == {2}, "version 2 is not served by all", 240)
    assert not seen.errors
    assert set(seen.versions) <= {1, 2}
