"""KerasHub's models: presets, which are folders, and files that hold a task of KerasHub."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from keraserve_models.errors import ImportRejected, first_line
from keraserve_models.importing.findings import Known, last_layer
from keraserve_models.importing.request import Overrides, Scale
from keraserve_models.importing.source import Source

MISSING = 'a model of KerasHub needs keras-hub: pip install "keraserve[hub]"'


def load(source: Source) -> Any:
    """Load the model of a preset: its task, or its backbone where it has no task.

    Raises:
        ImportRejected: KerasHub is not installed, or can't load it.
    """
    import keras

    try:
        import keras_hub  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ImportRejected(MISSING) from error
    task = (source.config or {}).get("task.json")
    if task is None:
        kind: Any = keras_hub.models.Backbone
    else:
        kind = keras.saving.get_registered_object(task.get("registered_name"))
        if kind is None:
            raise ImportRejected(
                f"{source.original} is a {task.get('registered_name')}, which keras-hub"
                f" {keras_hub.__version__} does not have"
            )
    try:
        # Its absolute path, which can't be taken for the name of a preset that KerasHub downloads.
        return kind.from_preset(str(source.path.resolve()))
    except Exception as error:  # KerasHub raises whatever the layers raise
        raise ImportRejected(f"{source.original} can't be loaded by KerasHub: {first_line(error)}") from error


def is_classifier(model: Any) -> bool:
    """Whether it is a task of KerasHub that classifies images."""
    return any(each.__name__ == "ImageClassifier" for each in type(model).__mro__ if _is_kerashubs(each))


def is_task(model: Any) -> bool:
    """Whether it is a model of KerasHub, which may have steps before its network."""
    return any(map(_is_kerashubs, type(model).__mro__))


def _is_kerashubs(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "keras_hub"


def with_converter(model: Any, overrides: Overrides) -> tuple[Any, Known]:
    """Put the scaling of an image classifier's converter into its graph.

    Args:
        model: an image classifier of KerasHub.
        overrides: what the user says.

    Returns:
        A model of images of 0 to 255, and what is known of it.

    Raises:
        ImportRejected: the converter does what this package does not do.
    """
    import keras

    linear = getattr(getattr(last_layer(model), "activation", None), "__name__", "linear") == "linear"
    known = Known(
        "images",
        scores="logits" if linear else None,
        scores_reason="a classifier of KerasHub, whose last layer has no activation",
    )
    converter = getattr(model.preprocessor, "image_converter", None)
    if converter is None:
        return model, known
    if overrides.scale:
        raise ImportRejected("--scale has no effect: its image converter says how images are scaled")
    if converter.pad_to_aspect_ratio:
        raise ImportRejected(
            "its image converter pads images to keep their proportions, which no served version does: import"
            " it with --task tensors, and send prepared images"
        )
    shape = model.inputs[0].shape
    if shape[-1] not in (1, 3):
        raise ImportRejected(f"its network takes {list(shape)}, and only channels-last ones are imported")
    size = tuple(overrides.size or converter.image_size or shape[1:3])
    if any(side not in (None, given) for side, given in zip(shape[1:3], size, strict=True)):
        said = "--size says" if overrides.size else "its image converter makes"
        raise ImportRejected(
            f"its network takes images of {shape[1]} x {shape[2]} pixels, and {said} {size[0]} x {size[1]}"
        )
    inputs = keras.Input((*size, shape[-1]))
    scale = 1.0 if converter.scale is None else converter.scale
    offset = 0.0 if converter.offset is None else converter.offset
    whole = keras.Model(inputs, model(keras.layers.Rescaling(scale, offset)(inputs)))
    does = f"its image converter multiplies by {_written(scale)} and adds {_written(offset)}"
    if converter.interpolation != "bilinear":
        does += f"; that it resizes {converter.interpolation} is not kept: bilinear"
    cropped = bool(converter.image_size and converter.crop_to_aspect_ratio)
    return whole, replace(known, scale=Scale.NONE, scale_reason=does, cropped=cropped)


def _written(numbers: Any) -> str:
    return " ".join(f"{number:.4g}" for number in (numbers if isinstance(numbers, Sequence) else [numbers]))
