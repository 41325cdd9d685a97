"""What bfloat16 costs and gains: a version's network on labelled images, by OpenVINO in both precisions."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keraserve_models.exporting.openvino_network import load
from keraserve_protocol.openvino_form import NETWORK, NETWORK_INPUT, NETWORK_OUTPUT, PRECISION_KEY

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


def measure(place: Path, batches: Iterable[tuple[Any, Sequence[int]]]) -> dict[str, Any]:
    """Run a version's network on images.

    Args:
        place: the version's folder.
        batches: float32 [N, H, W, C] of 0 to 255, and the class of each.

    Returns:
        For the card: accuracy, largest difference of a probability and images a second of each precision;
        nothing where the version has no network for OpenVINO, or this processor has no bfloat16.
    """
    openvino = load()
    if openvino is None or not (place / NETWORK).exists():
        return {}
    core = openvino.Core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return {}
    networks = {
        name: core.compile_model(place / NETWORK, "CPU", {"INFERENCE_PRECISION_HINT": hint})
        for name, hint in _HINTS.items()
    }
    right, seconds, images, largest = dict.fromkeys(networks, 0), dict.fromkeys(networks, 0.0), 0, 0.0
    for pixels, classes in batches:
        found: dict[str, Any] = {}
        for name, network in networks.items():
            if not images:
                network({NETWORK_INPUT: pixels})  # the first run takes longer
            began = time.perf_counter()
            found[name] = network({NETWORK_INPUT: pixels})[NETWORK_OUTPUT]
            seconds[name] += time.perf_counter() - began
            right[name] += int((found[name].argmax(axis=-1) == np.asarray(classes)).sum())
        largest = max(largest, float(np.abs(found["float32"] - found["bfloat16"]).max()))
        images += len(pixels)
    if not images:
        return {}
    figures: dict[str, Any] = {
        name: {"accuracy": right[name] / images, "images_per_second": round(images / seconds[name], 1)}
        for name in networks
    }
    figures["bfloat16"]["largest_difference"] = largest
    return {PRECISION_KEY: {"images": images, **figures}}
