"""A network that computes in bfloat16: 8 bits of precision instead of 24, several times as fast where the
processor has instructions for it."""

import functools
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraserve_training.errors import OptionError

if TYPE_CHECKING:
    import keras

# What Linux calls the instructions: of Intel and AMD, of ARM. Without them bfloat16 is slower than float32.
_FLAGS = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}
_FIRST_GPU = (8, 0)  # compute capability of NVIDIA's first with bfloat16 (Ampere)


def check() -> None:
    """Raise OptionError unless this machine computes in bfloat16."""
    if not _here():
        raise OptionError(
            f"This machine's processor ({platform.machine()}) has no instructions for bfloat16: run without"
            " --mixed-precision."
        )


def converted(model: "keras.Model") -> "keras.Model":
    """Copy a model so that all its layers compute in bfloat16, but those that scale its input.

    The copy takes float32, gives bfloat16 and holds its weights in bfloat16: for inference only.
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
def _here() -> bool:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return capability >= _FIRST_GPU
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:  # no Linux: macOS' processors have it from the M2 on, but its TensorFlow does not use it
        return False
    return bool(_FLAGS & set(flags.split()))
