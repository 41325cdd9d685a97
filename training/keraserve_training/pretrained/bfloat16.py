"""Convert a network to bfloat16: 8 bits of precision instead of 24, but faster on some processors."""

import functools
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraserve_training.errors import OptionError

if TYPE_CHECKING:
    import keras

# Linux' names of the instructions (Intel, AMD, ARM), without which bfloat16 is slower than float32
_FLAGS = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}
_FIRST_GPU = (8, 0)  # compute capability of NVIDIA's first GPUs with bfloat16 (Ampere)


def check() -> None:
    """Raise OptionError unless this machine has instructions for bfloat16."""
    if not _supported():
        raise OptionError(
            f"This machine's processor ({platform.machine()}) has no instructions for bfloat16: run without"
            " --mixed-precision."
        )


def converted(model: "keras.Model") -> "keras.Model":
    """Copy a model so that all layers but those that scale its input compute in bfloat16.

    The copy takes float32, returns bfloat16 and holds its weights in bfloat16: for inference only.
    """
    import keras

    def convert(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, keras.Layer) and not isinstance(layer, keras.layers.Rescaling):
            config["dtype"] = "bfloat16"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=convert, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


@functools.cache
def _supported() -> bool:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return capability >= _FIRST_GPU
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux; TensorFlow for macOS does not use the instructions of Apple's processors
        return False
    return bool(_FLAGS & set(flags.split()))
