"""How a model wants its pixels: from its layers, from its architecture, or not to be known."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras.src.applications import imagenet_utils
from models.conftest import images_in

from keraserve_models.importing import classifier, scaling
from keraserve_models.importing.request import Scale

# With random weights. Those left out have the layers of another one that is here, and more of them.
NETWORKS = {
    "VGG16": Scale.CAFFE,
    "ResNet50": Scale.CAFFE,
    "ResNet50V2": Scale.SYMMETRIC,
    "DenseNet121": Scale.TORCH,
    "Xception": Scale.SYMMETRIC,
    "InceptionV3": Scale.SYMMETRIC,
    "InceptionResNetV2": Scale.SYMMETRIC,
    "MobileNet": Scale.SYMMETRIC,
    "MobileNetV2": Scale.SYMMETRIC,
    "NASNetMobile": Scale.SYMMETRIC,
    "MobileNetV3Small": Scale.NONE,
    "EfficientNetB0": Scale.NONE,
    "EfficientNetV2B0": Scale.NONE,
    "ConvNeXtTiny": Scale.NONE,
}


@pytest.mark.parametrize(("name", "wanted"), NETWORKS.items())
def test_networks_of_keras_applications(name: str, wanted: Scale) -> None:
    build = getattr(keras.applications, name)
    assert scaling.find(build(weights=None, classes=5)).scale is wanted
    # Built into a model with augmentation before it, as its users do.
    inputs = keras.Input((224, 224, 3))
    base = build(weights=None, include_top=False, input_shape=(224, 224, 3))
    values = layers.GlobalAveragePooling2D()(base(layers.RandomFlip()(inputs)))
    assert scaling.find(keras.Model(inputs, layers.Dense(2)(values))).scale is wanted


def test_every_network_of_keras_applications_is_of_a_family_here() -> None:
    families = (
        "VGG",
        "ResNet",
        "DenseNet",
        "Xception",
        "Inception",
        "MobileNet",
        "NASNet",
        "EfficientNet",
        "ConvNeXt",
    )
    names = [name for name in vars(keras.applications) if name[0].isupper()]
    assert [name for name in names if not name.startswith(families)] == []


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
