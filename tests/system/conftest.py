"""Fixtures of the system tests: exported models, the stack that serves them, images, container images."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import COMPOSE, GIVEN_IMAGE, ROOT, save_images, train
from stack import Ports, Stack, running


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished `sample` run in `runs/`, and its models in `models/`."""
    folder = tmp_path_factory.mktemp("exported")
    train("run", "fashion-mnist-reuse", "--profile", "sample", "--runs", folder / "runs")
    train("export", "--profile", "sample", "--runs", folder / "runs", "--models", folder / "models")
    return folder


@pytest.fixture(scope="session")
def stack(exported: Path) -> Iterator[Stack]:
    """Embedded model server and gateway, as `make demo` runs them, on free ports."""
    with running(exported / "models", Ports(0, 0, 0), logs=exported / "logs") as stack:
        yield stack


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Procedural images as PNG files."""
    folder = tmp_path_factory.mktemp("images")
    save_images(folder)
    return sorted(folder.glob("*.png"))


@pytest.fixture(scope="session")
def docker_images() -> None:
    """The container images of the stack, built once, but those that were named or are public."""
    if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        pytest.skip("no Docker engine responds")
    ours = [] if GIVEN_IMAGE else ["model-server", "prometheus"]
    build = ["--profile", "observability", "build", "gateway", *ours]
    done = subprocess.run([*COMPOSE, *build], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
