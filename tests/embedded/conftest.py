"""Fixtures of the embedded model server: SavedModels of many kinds, loaded once; engines and servers."""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # before TensorFlow is imported

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from embedded.many_models import save_all
from embedded.openvino_models import colours_for_openvino, loaded

from keraserve_embedded.engine import Engine, EngineOptions
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.process.server import Server
from keraserve_embedded.process.settings import Settings
from keraserve_protocol.services import Stub


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one model of each kind in `many_models`, version 1. Read only."""
    folder = tmp_path_factory.mktemp("many")
    save_all(folder)
    return folder


@pytest.fixture(scope="session")
def load(many: Path, models: Path) -> Callable[[str], LoadedVersion]:
    """Load version 1 of a model, rows of which are independent; each only once."""
    loaded: dict[str, LoadedVersion] = {}

    def version(name: str) -> LoadedVersion:
        if name not in loaded:
            folder = models if name == "colours" else many
            loaded[name] = LoadedVersion(name, 1, folder / name / "1", assume_independent=True)
        return loaded[name]

    return version


@pytest.fixture(scope="session", params=["tensorflow", "openvino"])
def colours(
    load: Callable[[str], LoadedVersion],
    models: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> LoadedVersion:
    """The same model on both runtimes, so that a test that takes it is a contract of both."""
    if request.param == "tensorflow":
        return load("colours")
    version = loaded(colours_for_openvino(models, tmp_path_factory.mktemp("openvino")), "openvino")
    assert version.runtime == "OpenVINO runs it, in float32"
    return version


@pytest.fixture
def repository(tmp_path: Path, models: Path) -> Path:
    """A repository of this test's own: `colours` with version 1."""
    shutil.copytree(models / "colours", tmp_path / "models" / "colours")
    return tmp_path / "models"


@pytest.fixture
def engines() -> Iterator[Callable[..., Engine]]:
    """Make engines that look at the disk often, and stop them in the end."""
    made: list[Engine] = []

    def make(*entries: ModelEntry, **options: bool) -> Engine:
        engine = Engine(EngineOptions(poll_seconds=0.05, **options))
        made.append(engine)
        assert engine.start(entries)
        return engine

    yield make
    for engine in made:
        engine.stop()


def settings(**given: object) -> Settings:
    return Settings(
        **{
            "host": "127.0.0.1",
            "port": 0,
            "model_name": "",
            "model_base_path": "",
            "model_config_file": None,
            "model_config_file_poll_wait_seconds": 0,
            "file_system_poll_wait_seconds": 1,
            "enable_grpc_healthcheck_service": True,
            "allow_version_labels_for_unavailable_models": False,
            "enable_serialization_as_tensor_content": False,
            "grpc_max_threads": 8,
            **given,
        }  # type: ignore[arg-type]
    )


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Server, grpc.Channel]]]:
    """Put a server with these settings before an engine; gives it and a channel to it."""
    open_channels: list[grpc.Channel] = []
    servers: list[Server] = []

    def start(engine: Engine, **given: object) -> tuple[Server, grpc.Channel]:
        server = Server(engine, settings(**given))
        port = server.start()
        servers.append(server)
        open_channels.append(grpc.insecure_channel(f"127.0.0.1:{port}"))
        return server, open_channels[-1]

    yield start
    for channel in open_channels:
        channel.close()
    for server in servers:
        server.drain()


@pytest.fixture
def stub(serve: Callable[..., tuple[Server, grpc.Channel]]) -> Callable[..., Stub]:
    return lambda engine, **given: Stub(serve(engine, **given)[1])
