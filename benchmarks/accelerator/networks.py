"""A step's network, built on the backend that Keras has here, and random examples for it."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from accelerator.steps import Step

# Layers that work on pixels, where rounding would change the outputs.
_EXACT = {"InputLayer", "Rescaling", "RandomFlip", "RandomRotation"}


def build(step: Step, precision: str) -> Any:
    """Build it with random weights, which are the same on every backend.

    Args:
        step: the step that has the network.
        precision: with `bfloat16` the layers compute in that type; a network that is trained keeps weights
            and outputs in float32, as in Keras' policy `mixed_bfloat16`.

    Raises:
        ValueError: it has another number of trainable weights than when it was recorded.
    """
    import keras

    described = json.loads(step.network)
    if precision == "bfloat16":
        layers = described["config"]["layers"]
        _rounded(layers[:-1] if step.loss else layers, "mixed_bfloat16" if step.loss else "bfloat16")
    model: Any = keras.models.model_from_json(json.dumps(described))
    drawn = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(_drawn(weight.name, tuple(weight.shape), drawn).astype(np.float32))
    learning = sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
    if step.loss and learning != step.learning:
        raise ValueError(f"{step.label}: {learning} trainable numbers, not {step.learning}")
    return model


def examples(step: Step, model: Any, batch: int) -> tuple[Any, Any]:
    """Random images or features, float32 [batch, ...], and random targets."""
    drawn = np.random.default_rng(1)
    shape = (batch, *model.input_shape[1:])
    images = shape[-1] in (1, 3)
    inputs = drawn.uniform(0, 255, shape) if images else np.abs(drawn.normal(0, 1, shape))
    if step.loss and step.loss["class_name"] == "MeanSquaredError":
        return inputs.astype(np.float32), (inputs / 255).astype(np.float32)
    return inputs.astype(np.float32), drawn.integers(0, max(2, model.output_shape[-1]), batch, np.int32)


def _rounded(layers: Sequence[dict[str, Any]], policy: str) -> None:
    for layer in layers:
        config = layer["config"]
        if "layers" in config:
            _rounded(config["layers"], policy)
        elif "dtype" in config and layer["class_name"] not in _EXACT:
            config["dtype"] = policy


def _drawn(name: str, shape: tuple[int, ...], drawn: np.random.Generator) -> Any:
    """Weights that keep the size of values from layer to layer."""
    if "kernel" in name:
        # A depthwise kernel, [h, w, channels, 1], sums over h and w only.
        fan = np.prod(shape[:2] if "depthwise" in name else shape[:-1])
        return drawn.normal(0, np.sqrt(1 / fan), shape)
    return np.ones(shape) if name in ("gamma", "moving_variance") else np.zeros(shape)
