"""BatchNormalization put into the convolution before it: the same function, with fewer operations."""

from typing import Any

import keras
import numpy as np
import pytest

from keraserve_training.pretrained import folding

pytestmark = pytest.mark.usefixtures("tensorflow")
IMAGES = np.random.default_rng(0).uniform(0, 255, (4, 12, 12, 3)).astype(np.float32)


def learnt(model: Any) -> Any:
    """Give every BatchNormalization moments and factors as training leaves them."""
    generator = np.random.default_rng(1)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def normalizations(model: Any) -> int:
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model._flatten_layers())


def network(*, scale: bool = True, bias: bool = False) -> Any:
    """Every kind of convolution, each with a BatchNormalization behind it."""
    layers = keras.layers
    inputs = values = keras.Input((12, 12, 3))
    for convolution in (
        layers.Conv2D(4, 3, use_bias=bias),
        layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=bias),
        layers.SeparableConv2D(5, 3, use_bias=bias),
    ):
        values = layers.BatchNormalization(scale=scale, center=scale)(convolution(values))
        values = layers.ReLU(6.0)(values)
    return learnt(keras.Model(inputs, values, name="network"))


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_the_folded_copy_gives_the_same(scale: bool, bias: bool) -> None:
    model = network(scale=scale, bias=bias)
    before = [weight.numpy() for weight in model.weights]
    copy = folding.folded(model)
    assert normalizations(model) == 3
    assert normalizations(copy) == 0
    np.testing.assert_allclose(copy(IMAGES), model(IMAGES, training=False), rtol=1e-4, atol=1e-4)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_a_nested_network_is_folded_too() -> None:
    inputs = keras.Input((12, 12, 3))
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    outer = keras.Model(inputs, network()(scaled, training=False))
    copy = folding.folded(outer)
    assert normalizations(copy) == 0
    np.testing.assert_allclose(copy(IMAGES), outer(IMAGES, training=False), rtol=1e-4, atol=1e-4)


def test_what_follows_no_convolution_alone_stays() -> None:
    layers = keras.layers
    inputs = keras.Input((12, 12, 3))
    shared = layers.Conv2D(4, 3, use_bias=False)(inputs)  # taken twice
    active = layers.Conv2D(4, 3, activation="relu")(inputs)  # not linear
    first, second = layers.BatchNormalization()(shared), layers.BatchNormalization()(active)
    outputs = layers.Add()([first, second, shared])
    model = learnt(keras.Model(inputs, layers.BatchNormalization()(outputs)))
    copy = folding.folded(model)
    assert normalizations(copy) == 3
    np.testing.assert_allclose(copy(IMAGES), model(IMAGES, training=False), rtol=1e-4, atol=1e-4)


def test_a_sequential_model_is_left_as_it_is() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert folding.folded(model) is model
