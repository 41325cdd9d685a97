"""A version with a form for OpenVINO, loaded as the engine loads one."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from embedded.requests import example
from saved_models import NAMES, Colours

from keraserve_embedded.calls.work import Work
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.runtime_choice import Wanted, WarmUp, choose
from keraserve_embedded.runtimes import Runtime, has_openvino
from keraserve_models.exporting import card, openvino_network
from keraserve_models.repository import digests


def colours_for_openvino(models: Path, place: Path) -> Path:
    """A copy of the colour model's version with its network for OpenVINO; gives the folder."""
    if not has_openvino():
        pytest.skip("OpenVINO is not installed")
    folder = place / "1"
    shutil.copytree(models / "colours" / "1", folder)
    model = Colours(["red", "green", "blue"])
    rows = {"network_input": np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")}
    said = openvino_network.write(folder, model.network.get_concrete_function(), NAMES[:3], rows)
    card.write(folder, {"independent_rows": True, **said}, in_graph=False)
    digests.write(folder)
    return folder


def loaded(folder: Path, runtime: Runtime) -> LoadedVersion:
    """Load it, and warm it up with a request of each signature."""
    version = LoadedVersion("colours", 1, folder)
    warm = WarmUp()
    pixels = np.full((2, 4, 4, 3), 80, np.uint8)
    encoded = tf.io.encode_png(pixels[0]).numpy()
    inputs: dict[str, Any] = {
        "serving_default": {"images": pixels},
        "image_bytes": {"image_bytes": np.array([encoded], object)},
        "classify": {"inputs": np.array([example(image=encoded)], object)},
    }
    for name, arrays in inputs.items():
        warm.add(Work(version.signatures[name], arrays), version.signatures[name].run(arrays))
    choose(version, folder, Wanted(runtime), warm)
    return version
