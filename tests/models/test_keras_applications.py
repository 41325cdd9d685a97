"""Networks of `keras.applications`: imported without an option, with the scaling of their own module."""

import importlib
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keraserve_models.importing import classifier, findings, scaling
from keraserve_models.importing.importer import import_model
from keraserve_models.importing.request import ImportRequest, Overrides, Scale

# 0.8 and 1.4 GB of weights, or seconds to build; their layers are those of the smaller ones.
LARGE = (
    *("ConvNeXtLarge", "ConvNeXtXLarge", "NASNetLarge"),
    *("EfficientNetB5", "EfficientNetB6", "EfficientNetB7", "EfficientNetV2M", "EfficientNetV2L"),
)
NETWORKS = sorted(name for name in vars(keras.applications) if name[0].isupper() and name not in LARGE)
SHAPE = (75, 75, 3)  # the smallest that all of them take
OF_EACH_FAMILY = {
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


def test_all_are_here() -> None:
    assert len(NETWORKS) > 30


@pytest.mark.parametrize("name", NETWORKS)
def test_scaling_is_that_of_its_own_module(name: str) -> None:
    build = getattr(keras.applications, name)
    network = build(weights=None, classes=5, input_shape=SHAPE)
    found = findings.of(network, Overrides(), findings.Known())
    assert found is not None
    assert (found.scores, found.size, found.units) == ("softmax", SHAPE[:2], 5)
    family = re.search(r"is a (\w+) of keras\.applications", found.reasons[-1])
    assert family
    assert re.sub(r"(Net|VGG)\d+", r"\1", name).startswith(family[1])
    images = np.random.default_rng(1).uniform(0, 255, (2, 4, 5, 3)).astype(np.float32)
    wanted = importlib.import_module(build.__module__).preprocess_input(images.copy())
    np.testing.assert_allclose(
        classifier.scaled(tf.constant(images), found.scale), wanted, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("name", "scale"), OF_EACH_FAMILY.items())
def test_one_that_is_built_in_is_known(name: str, scale: Scale) -> None:
    network = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=SHAPE)
    inputs = keras.Input(SHAPE)
    values = network(layers.RandomFlip()(inputs))  # as its users do
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(values)))
    assert scaling.find(model).scale is scale


@pytest.mark.parametrize("name", ["EfficientNetV2B0", "ConvNeXtTiny", "MobileNetV3Small"])
def test_one_without_its_scaling_layers_is_not_guessed(name: str) -> None:
    network = getattr(keras.applications, name)(
        weights=None, classes=5, input_shape=SHAPE, include_preprocessing=False
    )
    found = scaling.find(network)
    assert found.scale is None
    assert found.reason.endswith("of keras.applications, without its own scaling layer")


def test_one_is_imported_whole(saved: Any, tmp_path: Path) -> None:
    network = keras.applications.MobileNet(weights=None, classes=5, alpha=0.25, input_shape=(32, 32, 3))
    done = import_model(ImportRequest(saved(network), "network", tmp_path / "models"))
    assert (done.card["task"], done.card["scale"]) == ("images", "-1..1")
    assert done.compared.equal
