"""Every network's scaling as layers, against Keras' own function for that network.

`preprocess_input` of those that scale by themselves does nothing: see test_backbones.
"""

import importlib

import numpy as np
import pytest

from keraserve_training.pretrained import networks

MODULES = {
    "inceptionv3": "inception_v3",
    "inceptionresnetv2": "inception_resnet_v2",
    "densenet121": "densenet",
    "nasnetmobile": "nasnet",
    "resnet50v2": "resnet_v2",
}
pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.mark.parametrize("name", [name for name, network in networks.NETWORKS.items() if not network.scales])
def test_the_layers_do_what_keras_function_does(name: str) -> None:
    import keras

    from keraserve_models.preprocessing.scaling import preprocess

    inputs = keras.Input((5, 4, 3))
    model = keras.Model(inputs, preprocess(networks.NETWORKS[name].mode, inputs))
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3)).astype(np.float32)
    images[0], images[1] = 0, 255
    theirs = importlib.import_module(f"keras.applications.{MODULES.get(name, name)}").preprocess_input
    np.testing.assert_allclose(model(images), theirs(images.copy()), rtol=0, atol=2e-5)
