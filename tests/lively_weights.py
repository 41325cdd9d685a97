"""Random weights that pass on what comes in: with Keras' own, features and gradients vanish on their way."""

from pathlib import Path
from typing import Any

import numpy as np

from keraserve_training.pretrained import backbones


def write(folder: Path, *, size: int = 32, alpha: float = 0.25) -> Path:
    """Write a file with weights of MobileNet, for `--weights`; returns it."""
    generator = np.random.default_rng(0)
    model: Any = backbones.build("mobilenet", size=size, alpha=alpha, weights="random").model
    network = model.get_layer("mobilenet")
    for layer in network.layers:
        if layer.weights and "Conv2D" in type(layer).__name__:
            (kernel,) = layer.weights
            height, width, channels, _ = kernel.shape
            inputs = height * width * (1 if type(layer).__name__ == "DepthwiseConv2D" else channels)
            # He et al., arXiv 1502.01852: the variance stays what it is.
            kernel.assign(generator.normal(0, np.sqrt(2 / inputs), kernel.shape))
    file = folder / "lively.weights.h5"
    network.save_weights(file)
    return file
