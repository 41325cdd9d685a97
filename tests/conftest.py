"""Fixtures for several packages: a small real model, and images for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from encoded_images import png

from keraserve_protocol import messages, model_config

QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture(scope="session")
def red() -> bytes:
    return png(230, 20, 20)


@pytest.fixture(scope="session")
def green() -> bytes:
    return png(20, 230, 20)


def save_colours(folder: Path, version: int = 1, *labels: str) -> None:
    """Write a version of the colour model (tests/saved_models.py) in a process of its own."""
    program = Path(__file__).with_name("saved_models.py")
    command = [sys.executable, str(program), str(folder), str(version), *labels]
    subprocess.run(command, check=True, env=QUIET, capture_output=True, timeout=300)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository: `colours`, its version 1 labelled `stable`. Read only: copy it to change it."""
    folder = tmp_path_factory.mktemp("models")
    save_colours(folder / "colours")
    config = messages.ModelServerConfig()
    model = config.model_config_list.config.add(name="colours", base_path=str(folder / "colours"))
    model.model_platform = "tensorflow"
    model.version_labels["stable"] = 1
    (folder / "models.config").write_text(model_config.render(config))
    return folder
