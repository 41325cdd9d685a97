"""How a model wants pixels scaled: from the layers before its first weights, or from its architecture.

Wrong scaling is the most common fault of served models, and no signature shows it. So nothing is guessed.
What is before the first weights is run on images of one value: that tells whether it scales. An architecture
of `keras.applications` has one rule. Where neither tells, the user has to say.
"""

import fnmatch
from dataclasses import dataclass
from typing import Any

import numpy as np

from keraserve_models.importing.request import Scale

MODES = {Scale.SYMMETRIC: "tf", Scale.TORCH: "torch", Scale.CAFFE: "caffe"}
"""Their names in `keras.applications.imagenet_utils.preprocess_input`."""

# Names of layers, or patterns, that a network of keras.applications has wherever it is built in; its rule.
# None: its own layers scale, and there is no one rule for those that were built without them.
_ARCHITECTURES = (
    ("VGG", {"block1_conv1", "block1_pool", "block5_conv3"}, Scale.CAFFE),
    ("ResNetV2", {"conv1_conv", "conv2_block1_preact_bn", "post_bn"}, Scale.SYMMETRIC),
    ("ResNet", {"conv1_conv", "conv1_bn", "conv5_block3_out"}, Scale.CAFFE),
    ("DenseNet", {"conv2_block1_0_bn", "pool2_conv", "conv5_block1_concat"}, Scale.TORCH),
    ("Xception", {"block1_conv1_act", "block2_sepconv1", "block14_sepconv2_act"}, Scale.SYMMETRIC),
    ("InceptionResNetV2", {"mixed_5b", "conv_7b"}, Scale.SYMMETRIC),
    ("InceptionV3", {"mixed0", "mixed10"}, Scale.SYMMETRIC),
    ("MobileNetV2", {"Conv1", "expanded_conv_depthwise", "out_relu"}, Scale.SYMMETRIC),
    ("MobileNet", {"conv1", "conv_dw_1", "conv_pw_13_relu"}, Scale.SYMMETRIC),
    ("NASNet", {"stem_conv1", "stem_bn1"}, Scale.SYMMETRIC),
    ("MobileNetV3", {"conv", "conv_1_bn", "expanded_conv_depthwise"}, None),
    ("EfficientNet", {"stem_conv", "block1a_project_conv", "top_conv"}, None),
    ("ConvNeXt", {"*_stage_0_block_0_layer_scale"}, None),
)
_SMALL = 16.0  # no scaled pixel is larger; unscaled ones go to 255
_GREY, _WHITE = 128.0, 255.0


@dataclass(frozen=True)
class Found:
    """A scaling, and the sentence that says why; None: neither layers nor architecture tell."""

    scale: Scale | None
    reason: str


def find(model: Any) -> Found:
    """Find out how a model with one image input wants its pixels."""
    if not hasattr(model, "layers"):
        return Found(None, "the layers of a SavedModel are not known")
    name, scale = _architecture(model)
    network = f"the network is a {name} of keras.applications"
    inside = _before_the_weights(model)
    if inside is not None:
        return Found(inside.scale, f"{inside.reason}; {network}") if name else inside
    if name:
        return Found(scale, f"{network}, without its own scaling layer")
    return Found(None, "no layer before the first weights scales, and the architecture is not known")


def _architecture(model: Any) -> tuple[str, Scale | None]:
    """The network of `keras.applications` that a model is or is built on, and its rule; "": none of them."""
    names = _layer_names(model)
    for name, layers, scale in _ARCHITECTURES:
        if all(fnmatch.filter(names, layer) for layer in layers):
            return name, scale
    return "", None


def _before_the_weights(model: Any) -> Found | None:
    """Run what lies before the first weights on images of one value; None: it changes nothing."""
    black, grey, white = (_reached(model, level) for level in (0.0, _GREY, _WHITE))
    if black is None or grey is None or white is None:
        return Found(None, "what lies before its first weights can't be run alone")
    low, high = float(np.min(black)), float(np.max(white))
    if np.allclose(black, 0.0) and np.allclose([np.max(grey), high], [_GREY, _WHITE]) and np.min(white) >= 0:
        return None  # zeros beside are padding
    does = f"its own layers turn 0 to 255 into {low:.3g} to {high:.3g}"
    if not np.allclose(grey, black + (white - black) * _GREY / _WHITE, atol=0.01 * max(1.0, high - low)):
        return Found(None, f"{does}, and what is between not in proportion")
    if max(abs(low), abs(high)) <= _SMALL:
        return Found(Scale.NONE, does)
    if low < -_SMALL and max(abs(low), abs(high)) <= _WHITE:
        return Found(Scale.NONE, f"its own layers subtract a mean: 0 to 255 become {low:.3g} to {high:.3g}")
    if np.allclose(black, 0.0) and high > _WHITE * _SMALL:
        return Found(Scale.UNIT, f"its own layers multiply: they turn 0 to 1 into 0 to {high / _WHITE:.3g}")
    return Found(None, f"{does}, as no rule does")


def _reached(model: Any, level: float) -> Any:
    """The values at the first weights, where every pixel has `level`; None: can't be followed."""
    import keras

    shape = model.input_shape
    if not isinstance(shape, tuple):
        return None
    library: Any = keras
    if not isinstance(model, keras.Model):
        import tf_keras as library  # pyright: ignore[reportMissingImports]
    filled = [1, *(64 if side is None else side for side in shape[1:])]
    values: Any = np.full(filled, level, np.float32)
    while True:
        first = _first_with_weights(model)
        if first is None:
            return None
        try:
            # A model that is built in has the inputs of its own; those of the call are with its node.
            node = first._inbound_nodes[0]
            taken = node.input_tensors if library is keras else node.keras_inputs
            values = library.Model(model.inputs[0], taken[0])(values, training=False)
        except (AttributeError, IndexError, ValueError, TypeError):
            return None
        if not _is_network(first):
            return np.asarray(values)
        model = first


def _first_with_weights(model: Any) -> Any:
    return next((each for each in getattr(model, "operations", model.layers) if _has_weights(each)), None)


def _has_weights(layer: Any) -> bool:
    """Whether a layer, or one inside of it, has weights; those of Normalization scale."""
    if _is_network(layer):
        return any(map(_has_weights, layer.layers))
    return bool(getattr(layer, "weights", None)) and type(layer).__name__ != "Normalization"


def _is_network(layer: Any) -> bool:
    return bool(hasattr(layer, "layers") and getattr(layer, "inputs", None))


def _layer_names(model: Any) -> set[str]:
    names: set[str] = set()
    for layer in model.layers:
        names.add(layer.name)
        if hasattr(layer, "layers"):
            names |= _layer_names(layer)
    return names
