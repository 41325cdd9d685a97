"""The time of each network of the source documents for an image, at its document's image size."""

from collections.abc import Callable
from typing import Any

import measuring_ways
import numpy as np
from measuring_ways import Comparison

from keraserve_training.pretrained import backbones, folding

# The others are compared with the first: the network of the real runs on a small machine.
_NETWORKS = (
    ("mobilenet", 0.25, 160),
    ("inceptionv3", None, 139),
    ("xception", None, 150),
    ("vgg16", None, 224),
    ("vgg16", None, 32),
)
_BATCH = 32


def compare(images: int, rounds: int) -> Comparison:
    """Time every network, frozen and with random weights, on `images` tensors in memory."""
    steps = max(1, images // _BATCH)
    ways = dict(_way(name, alpha, size, steps) for name, alpha, size in _NETWORKS)
    title = "The documents' networks, frozen, RANDOM weights, on ready tensors"
    found = measuring_ways.compare(title, "images", steps * _BATCH, ways, rounds, [])
    for name, times in found.ways.items():
        seconds = 1000 * float(np.median(times.seconds)) / found.count
        found.notes.append(f"{name}: {seconds:.1f} s for 1,000 images.")
    return found


def _way(name: str, alpha: float | None, size: int, steps: int) -> tuple[str, Callable[[], Any]]:
    import tensorflow as tf

    backbone = backbones.build(name, size=size, weights="random", alpha=alpha)
    network = folding.folded(backbone.model)
    look = tf.function(lambda batch: network(batch, training=False))
    pixels = np.random.default_rng(0).uniform(0, 255, (_BATCH, size, size, 3))
    batch = tf.constant(pixels, tf.float32)

    def way() -> None:
        for _ in range(steps):
            look(batch)

    return f"{backbone.network.title}{f' {alpha}' if alpha else ''} at {size} px", way
