"""Scale pixels as each pre-trained network needs them, with layers inside the model.

A model that scales its own input can't be served with the wrong scaling. Most networks of
`keras.applications` have one of three modes, with Keras' names.
"""

from collections.abc import Sequence
from typing import Any, Literal

Factor = float | Sequence[float]
"""A number for all channels, or one for each."""
Mode = Literal["tf", "caffe", "torch"] | tuple[Factor, Factor]
"""A mode of Keras, or a pair: what pixels are multiplied by, and what is added then."""

# Of ImageNet's images, red, green, blue: mean and deviation in PyTorch's model zoo (of values from 0 to 1),
# and the mean in Caffe's VGG models (of values from 0 to 255).
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (123.68, 116.779, 103.939)


def preprocess(mode: Mode, images: Any) -> Any:
    """Add the layers that scale images for a network: Keras' own ones, so that `.keras` files hold them.

    Args:
        mode: `tf`: from -1 to 1; `torch`: mean 0 and deviation 1 over ImageNet; `caffe`: mean 0 over
            ImageNet, not scaled, and the channels in the order blue, green, red; or a pair.
        images: a symbolic float32 [N, H, W, 3], 0 to 255, red, green, blue.

    Returns:
        A symbolic tensor of the same shape; equal to the network's `preprocess_input` up to float32 rounding.
    """
    from keras import layers, ops

    scale: Any
    offset: Any
    if isinstance(mode, tuple):
        scale, offset = mode
    elif mode == "tf":
        scale, offset = 1 / 127.5, -1.0
    elif mode == "torch":
        scale = [1 / (255 * deviation) for deviation in _DEVIATION]
        offset = [-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)]
    else:
        images = ops.flip(images, axis=-1)
        scale, offset = 1.0, [-mean for mean in reversed(_CAFFE_MEAN)]
    return layers.Rescaling(scale, offset, name="preprocessing")(images)
