"""Fold each BatchNormalization into the convolution before it, for a network that no longer learns.

In inference a BatchNormalization multiplies each channel by a number and adds one, which the convolution can
do. Keras computes it as separate operations over the whole image, which take a small network as long as all
its convolutions.
"""

from collections import Counter
from typing import Any

import keras
import numpy as np


def folded(model: keras.Model) -> keras.Model:
    """Copy a model without the BatchNormalizations that follow a convolution directly; nested models too.

    The copy gives what `model` gives in inference, up to float32 rounding. A model that is not one of Keras'
    functional models is returned unchanged.
    """
    if not _is_functional(model):
        return model
    followers = _followers(model)
    gone = {follower.name for follower in followers.values()}

    def copy(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return folded(layer) if _is_functional(layer) else keras.models.clone_model(layer)
        config = layer.get_config()
        if layer.name in followers:
            config["use_bias"] = True
        return type(layer).from_config(config)

    def call(layer: Any, *inputs: Any, **options: Any) -> Any:
        return inputs[0] if layer.name in gone else layer(*inputs, **options)

    result: Any = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in result.layers:
        if layer.name in followers:
            layer.set_weights(_absorbed(model.get_layer(layer.name), followers[layer.name]))
        elif layer.weights and not _is_functional(layer):
            layer.set_weights(model.get_layer(layer.name).get_weights())
    return result


def _is_functional(layer: Any) -> bool:
    return hasattr(layer, "operations") and not isinstance(layer, keras.Sequential)


def _followers(model: Any) -> dict[str, Any]:
    """The BatchNormalization that alone takes a convolution's output, by the convolution's name."""
    inputs = [id(tensor) for operation in model.operations for tensor in keras.tree.flatten(operation.input)]
    taken = Counter([*inputs, *(id(tensor) for tensor in model.outputs)])
    makers = {id(layer.output): layer for layer in model.layers if _is_plain_convolution(layer)}
    followers = [
        (makers[id(layer.input)], layer)
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        and id(layer.input) in makers
        and taken[id(layer.input)] == 1
        and layer.axis in (-1, 3)
    ]
    return {convolution.name: follower for convolution, follower in followers}


def _is_plain_convolution(layer: Any) -> bool:
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    return isinstance(layer, kinds) and layer.activation is keras.activations.linear


def _absorbed(convolution: Any, normalization: Any) -> list[Any]:
    """Weights, with a bias, of the convolution that does both."""
    mean = normalization.moving_mean.numpy()
    variance = normalization.moving_variance.numpy().astype(np.float64)
    scale = 1 / np.sqrt(variance + normalization.epsilon)
    if normalization.gamma is not None:
        scale *= normalization.gamma.numpy()
    *kernels, bias = convolution.get_weights() if convolution.use_bias else [*convolution.get_weights(), 0.0]
    bias = (bias - mean) * scale
    if normalization.beta is not None:
        bias = bias + normalization.beta.numpy()
    if isinstance(convolution, keras.layers.DepthwiseConv2D):  # its kernel: [h, w, channels, outputs of each]
        scale = scale.reshape(kernels[-1].shape[-2:])
    kernels[-1] = kernels[-1] * scale  # the last of a separable convolution mixes the channels
    return [*(kernel.astype(np.float32) for kernel in kernels), bias.astype(np.float32)]
