"""How a model wants its pixels: from its layers, from its architecture, or not to be known."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras.applications import imagenet_utils
from models.conftest import images_in

from keraserve_models.importing import classifier, scaling
from keraserve_models.importing.request import Scale


@pytest.mark.parametrize("module", ["vgg16", "mobilenet", "densenet"])
def test_preprocess_input_inside_of_the_model_is_seen(module: str) -> None:
    inputs = keras.Input((224, 224, 3))
    values = getattr(keras.applications, module).preprocess_input(inputs)
    base = keras.applications.MobileNet(
        weights=None, include_top=False, alpha=0.25, input_shape=(224, 224, 3)
    )
    found = scaling.find(keras.Model(inputs, base(values)))
    assert found.scale is Scale.NONE
    assert "its own layers" in found.reason


def test_layers_that_scale() -> None:
    normalization = layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[3600.0, 3600.0, 3600.0])
    for layer in (layers.Rescaling(1 / 255), layers.Rescaling(1 / 127.5, offset=-1), normalization):
        assert scaling.find(images_in(layer)).scale is Scale.NONE
    assert scaling.find(images_in(layers.Rescaling(255.0))).scale is Scale.UNIT
    assert scaling.find(images_in(layers.RandomFlip(), layers.Rescaling(1 / 255))).scale is Scale.NONE


@pytest.mark.parametrize("before", [[], [layers.RandomFlip("horizontal")], [layers.CenterCrop(8, 8)]])
def test_what_nothing_tells_is_not_guessed(before: list[Any]) -> None:
    found = scaling.find(images_in(*before))
    assert found.scale is None


@pytest.mark.parametrize(
    "layer",
    [
        layers.Rescaling(1.0, -0.5),  # of 0 to 1
        layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[1.0] * 3),  # of 0 to 1
        layers.Rescaling(2.0, -1.0),  # of 0 to 1
        layers.Rescaling(127.5, 127.5),  # of -1 to 1
        layers.ReLU(max_value=1.0),
        layers.Activation("tanh"),
    ],
)
def test_layers_that_only_look_like_scaling(layer: Any) -> None:
    assert scaling.find(images_in(layer)).scale is None
    inputs = keras.Input((32, 32, 3))
    base = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(32, 32, 3), alpha=0.35
    )
    found = scaling.find(keras.Model(inputs, base(layer(inputs))))
    assert found.scale is None  # nor by the rule of the network, which sees what the layer gives
    assert "its own layers" in found.reason


def test_statistics_of_a_network_that_is_built_in() -> None:
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(1).random((9, 12, 16, 3), np.float32))
    inside = keras.Sequential([keras.Input((12, 16, 3)), layers.Rescaling(1 / 255), normalization])
    assert scaling.find(images_in(inside)).scale is Scale.NONE


def test_a_model_of_keras_2_that_scales() -> None:
    old = pytest.importorskip("tf_keras")
    base = old.applications.MobileNetV2(weights=None, include_top=False, input_shape=(32, 32, 3), alpha=0.35)
    assert scaling.find(old.Sequential([base, old.layers.Dense(2)])).scale is Scale.SYMMETRIC
    inputs = old.Input((32, 32, 3))
    scaled = old.applications.mobilenet_v2.preprocess_input(inputs)
    built = old.Model(inputs, old.models.clone_model(base)(scaled))
    assert scaling.find(built).scale is Scale.NONE


@pytest.mark.parametrize("scale", list(Scale))
def test_scaling_in_the_graph_is_keras_own(scale: Scale) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (2, 5, 6, 3)).astype(np.float32)
    modes = {Scale.SYMMETRIC: "tf", Scale.TORCH: "torch", Scale.CAFFE: "caffe"}
    wanted = images / 255 if scale is Scale.UNIT else images
    if scale in modes:
        wanted = imagenet_utils.preprocess_input(
            images.copy(), data_format="channels_last", mode=modes[scale]
        )
    np.testing.assert_allclose(classifier.scaled(tf.constant(images), scale), wanted, rtol=1e-5, atol=1e-5)
