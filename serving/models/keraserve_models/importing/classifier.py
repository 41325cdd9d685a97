"""An image classifier of somebody else as a network that takes pixels of 0 to 255 and gives probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keraserve_models.exporting.signatures import Network
from keraserve_models.importing import state, tensors
from keraserve_models.importing.findings import ImageFindings
from keraserve_models.importing.request import Scale, Scores
from keraserve_models.importing.saved_models import Signature
from keraserve_models.importing.scaling import MODES

# Of ImageNet's images, as `preprocess_input` of keras.applications has them.
_CAFFE_MEAN = (103.939, 116.779, 123.68)  # blue, green, red, of 0 to 255
_TORCH_MEAN, _TORCH_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Original:
    """A model that takes scaled float32 [N, H, W, C] (or [N, C, H, W]) and gives [N, K].

    Attributes:
        call: it, in a graph.
        predict: the same with arrays, as its own library does it.
        state: what it uses and is to be saved with it.
    """

    call: Callable[[Any], Any]
    predict: Callable[[Any], Any]
    state: Sequence[Any]

    @classmethod
    def of(cls, model: Any) -> "Original":
        """Take a model of Keras 3 or `tf_keras`, or a `saved_models.Signature`."""
        if isinstance(model, Signature):
            return cls(model, model, [model.whole])
        [name] = tensors.inputs_by_name(model)

        def given(pixels: Any) -> Any:
            return tensors.arranged(model, {name: pixels})

        def only(results: Any) -> Any:  # of a dict, too
            [values] = tf.nest.flatten(results)
            return values

        return cls(
            lambda pixels: only(model(given(pixels), training=False)),
            lambda pixels: only(model.predict(given(pixels), verbose=0)),
            state.of(model),
        )


def network(original: Original, found: ImageFindings) -> Network:
    """A model with its scaling before it and its probabilities behind it."""

    def run(images: Any) -> Any:
        pixels = scaled(images, found.scale)
        if found.channels_first:
            pixels = tf.transpose(pixels, (0, 3, 1, 2))
        return probabilities(tf.cast(original.call(pixels), tf.float32), found.scores)

    return Network((*found.size, found.channels), run, original.state, found.cropped)


def scaled(images: Any, scale: Scale) -> Any:
    """Scale float32 [..., C] of 0 to 255 by a rule; equal to `preprocess_input` up to float32 rounding."""
    if scale is Scale.UNIT:
        return images / 255.0
    if scale is Scale.SYMMETRIC:
        return images / 127.5 - 1.0
    if scale is Scale.TORCH:
        return (images / 255.0 - tf.constant(_TORCH_MEAN)) / tf.constant(_TORCH_DEVIATION)
    if scale is Scale.CAFFE:
        return tf.reverse(images, (-1,)) - tf.constant(_CAFFE_MEAN)
    return images


def probabilities(values: Any, scores: Scores) -> Any:
    """Turn what the last layer gives, float32 [N, K or 1], into probabilities of all classes."""
    alone = values.shape[-1] == 1
    if scores == "logits":
        values = tf.sigmoid(values) if alone else tf.nn.softmax(values)
    return tf.concat([1.0 - values, values], axis=-1) if alone else values


def scaled_by_keras(images: np.ndarray[Any, Any], scale: Scale) -> np.ndarray[Any, Any]:
    """The same rule by Keras' own function, for the comparison."""
    from keras.applications import imagenet_utils

    if scale in MODES:
        return np.asarray(
            imagenet_utils.preprocess_input(images.copy(), data_format="channels_last", mode=MODES[scale])
        )
    return images / 255.0 if scale is Scale.UNIT else images
