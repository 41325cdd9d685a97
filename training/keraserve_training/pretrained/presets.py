"""KerasHub's presets as pre-trained networks: a backbone, with the scaling of its own image converter."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keraserve_models.errors import ModelsError, first_line
from keraserve_models.importing import hub, kerashub, trust
from keraserve_models.importing.source import opened
from keraserve_models.preprocessing.scaling import Mode
from keraserve_training.errors import OptionError
from keraserve_training.pretrained.networks import Network

if TYPE_CHECKING:
    import keras

PREFIX = "hub:"
_LEAST, _SIZE = 32, 224  # pixels a side, where a preset does not say them


def is_preset(name: str) -> bool:
    """Whether a network is named as a preset, and not as one of `keras.applications`."""
    return name.startswith(PREFIX)


def find(name: str) -> Network:
    """The network of `hub:PRESET`: a name that KerasHub downloads, a folder, or `hf://USER/REPOSITORY`.

    Raises:
        OptionError: KerasHub is not installed, or can't load it; or its images need more than scaling.
    """
    preset = name.removeprefix(PREFIX)
    converter = _loaded(preset, "layers", "ImageConverter")
    own = re.sub(r"[^a-z0-9]+", "-", Path(preset).name.lower()).strip("-")
    size = converter.image_size[0] if converter.image_size else _SIZE
    return Network(own, preset, _scaling(preset, converter), size, _LEAST, "", 0, "")


def build(preset: str, name: str, size: int, *, weights: bool) -> "keras.Model":
    """Build a preset's backbone, `name`, for images of `size` pixels a side, with its weights or random ones.

    What is random in its training (Dropout, stochastic depth) is off.

    Raises:
        OptionError: KerasHub can't load it, or its features have no rows, columns and channels.
    """
    import keras

    config = _loaded(preset, "models", "Backbone", load_weights=False).get_config()
    changed: dict[str, Any] = {key: 0.0 for key in config if "drop" in key and isinstance(config[key], float)}
    whole = _loaded(
        preset, "models", "Backbone", load_weights=weights, image_shape=(size, size, 3), **changed
    )
    if len(getattr(whole.output, "shape", ())) != 4:
        raise OptionError(f"{preset} can't be a backbone: its features are not rows, columns and channels.")
    return keras.Model(whole.input, whole.output, name=name)


def _loaded(preset: str, module: str, kind: str, **options: Any) -> Any:
    """Let KerasHub load a part of a preset."""
    try:
        import keras_hub  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise OptionError(f"{kerashub.MISSING}.") from error
    place = _place(preset)
    try:
        return getattr(getattr(keras_hub, module), kind).from_preset(place, **options)
    except Exception as error:  # KerasHub raises whatever the layers and the download raise
        raise OptionError(f"KerasHub can't load {preset} as a backbone: {first_line(error)}") from error


def _place(preset: str) -> str:
    """What KerasHub is told: the absolute path of a folder, which can't be taken for a name, or the name."""
    try:
        folder = hub.download(preset) if hub.is_address(preset) else Path(preset).expanduser()
        if not folder.is_dir():
            return preset
        with opened(folder) as source:
            programs = trust.programs(source)
    except ModelsError as error:
        raise OptionError(f"{error}.") from error
    if programs:
        raise OptionError(f"{preset} holds programs, which a backbone must not: {', '.join(programs)}.")
    return str(folder.resolve())


def _scaling(preset: str, converter: Any) -> Mode:
    """Its converter's scaling, of which is verified that it is all that it does to an image of its size."""
    scale: Any = 1.0 if converter.scale is None else converter.scale
    offset: Any = 0.0 if converter.offset is None else converter.offset
    size = converter.image_size or (_LEAST, _LEAST)
    image = np.random.default_rng(0).uniform(0, 255, (1, *size, 3)).astype(np.float32)
    if not np.allclose(converter(image), image * np.asarray(scale) + np.asarray(offset), atol=1e-4):
        raise OptionError(f"{preset} can't be a backbone: its image converter does more than scale.")
    return scale, offset
