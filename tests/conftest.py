"""What tests of several stations share: a small real model, and pictures for it."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from keraserve_protocol import messages, model_config

QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


def png(red: int, green: int, blue: int, *, width: int = 12, height: int = 10) -> bytes:
    """Encode a picture of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([red, green, blue]) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


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
    subprocess.run(command, check=True, env=QUIET, capture_output=True, timeout=120)


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
