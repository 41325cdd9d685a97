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
