"""What a model takes and gives: found out from its inputs and its last layer, or said by the user."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from keraserve_models.errors import ImportRejected, Undecided
from keraserve_models.importing import scaling
from keraserve_models.importing.request import Overrides, Scale, Scores, Task


@dataclass(frozen=True)
class ImageFindings:
    """An image classifier.

    Attributes:
        size: height and width in pixels.
        channels: 1 or 3.
        channels_first: the model takes [N, C, H, W].
        scores: what the last layer gives.
        units: of the last layer.
        scale: what pixels have to become first.
        reasons: how each of these is known, a sentence each.
        cropped: of an image of other proportions the middle is taken.
    """

    size: tuple[int, int]
    channels: int
    channels_first: bool
    scores: Scores
    units: int
    scale: Scale
    reasons: tuple[str, ...]
    cropped: bool = False

    @property
    def classes(self) -> int:
        """How many labels it needs."""
        return 2 if self.units == 1 else self.units


@dataclass(frozen=True)
class Known:
    """What the origin of a model tells of it, where its user says nothing else; None: nothing.

    Attributes:
        task, scale, scores: as in `Overrides`.
        cropped: of an image of other proportions the middle is taken.
        scale_reason, scores_reason: how these are known.
    """

    task: Task | None = None
    scale: Scale | None = None
    scores: Scores | None = None
    cropped: bool = False
    scale_reason: str = ""
    scores_reason: str = ""


NOTHING = Known()
TEACHABLE_MACHINE = Known(
    "images", Scale.SYMMETRIC, scale_reason="as Teachable Machine's own program does it"
)


@dataclass(frozen=True)
class Answer:
    """The best class of an image."""

    label: str
    probability: float


@dataclass(frozen=True)
class Trial:
    """What a model answers to an image under each scaling."""

    file: Path
    answers: dict[Scale, Answer]


def of(model: Any, overrides: Overrides, known: Known = NOTHING) -> ImageFindings | None:
    """Find out whether a model classifies images, and how; None: it is served as tensors.

    Args:
        model: of Keras, or a `saved_models.Signature`, whose layers are not known.
        overrides: what the user says.
        known: what its origin tells.

    Raises:
        ImportRejected: it does, and something can be found out by nobody but the user; says which option.
    """
    task = overrides.task or known.task
    if task == "tensors":
        return None
    shape, why_not = _image_shape(model)
    units = _units(model)
    if shape is None or units is None:
        if task == "images":
            raise ImportRejected(
                f"it can't be served as an image classifier: {why_not or 'its output is no vector'}"
            )
        return None
    scores, scores_reason = _scores(model, units, overrides, known)
    if scores is None:
        if task is None and units == 1:
            return None  # one value without an activation: a regressor, unless somebody says otherwise
        if not hasattr(model, "layers"):
            raise Undecided(
                f"a SavedModel does not tell what its {units} outputs are: say --scores"
                f" {'|'.join(get_args(Scores))}"
            )
        raise Undecided(
            f"its last layer has {units} outputs and no activation: are they logits of classes"
            " (--scores logits), or values (--task tensors)?"
        )
    size, channels, first = shape
    _check_overrides(overrides, size, channels, units)
    size = overrides.size or size
    if size is None:
        raise Undecided("it takes images of any size: say which one is best, such as --size 224x224")
    found = _scale(model, overrides, known)
    cropped = ("other proportions are cropped around the middle: its image converter",)
    unscaled = ImageFindings(
        size, channels, first, scores, units, Scale.NONE,
        (
            f"images of {size[0]} x {size[1]} pixels, {channels} channel{'s' if channels > 1 else ''}"
            f"{', channels first' if first else ''}: the shape of its input",
            f"{scores}, {units} output{'s' if units > 1 else ''}: {scores_reason}",
            *(cropped if known.cropped else ()),
        ),
        known.cropped,
    )  # fmt: skip
    if found.scale is None:
        raise ScaleUnknown(found.reason, unscaled)
    reasons = (*unscaled.reasons, f"scale {found.scale.value}: {found.reason}")
    return replace(unscaled, scale=found.scale, reasons=reasons)


class ScaleUnknown(Undecided):
    """Nobody but the user knows how pixels have to be scaled.

    Attributes:
        reason: why not.
        unscaled: what else is known of the model.
        trials: what it answers to images under each scaling.
    """

    def __init__(self, reason: str, unscaled: ImageFindings, trials: Sequence[Trial] = ()) -> None:
        self.reason, self.unscaled, self.trials = reason, unscaled, trials
        choices = "|".join(each.value for each in scales(unscaled.channels))
        seen = "the table has" if trials else "--try FOLDER shows"
        super().__init__(
            f"nothing tells how it wants its pixels scaled ({reason}): say --scale {choices}, where none is"
            f" 0 to 255; {seen} its answers to your images under each"
        )


def _check_overrides(overrides: Overrides, size: tuple[int, int] | None, channels: int, units: int) -> None:
    """Reject what the user says of a model whose shapes say something else."""
    if overrides.scores == "sigmoid" and units > 1:
        raise ImportRejected(
            f"--scores sigmoid is for one output, and it has {units}: say --scores multi-label"
        )
    if size and overrides.size and size != overrides.size:
        height, width = size
        raise ImportRejected(
            f"--size has no effect: it takes images of {height} x {width} pixels, and no others"
        )
    if overrides.scale and overrides.scale not in scales(channels):
        raise ImportRejected(f"--scale {overrides.scale.value} is for images with 3 channels, and it takes 1")


def scales(channels: int) -> list[Scale]:
    """The scalings that images with so many channels can have: ImageNet's means are of colours."""
    return [each for each in Scale if channels == 3 or each not in (Scale.TORCH, Scale.CAFFE)]


def _image_shape(model: Any) -> tuple[tuple[tuple[int, int] | None, int, bool] | None, str]:
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1:
        return None, f"it has {len(inputs) or 'unknown'} inputs, not one"
    shape = tuple(inputs[0].shape)
    if len(shape) != 4:
        return None, f"its input has the shape {list(shape)}, not [N, height, width, channels]"
    if shape[0] is not None:
        return None, f"it takes {shape[0]} image{'s' if shape[0] > 1 else ''} at a time, no other number"
    if shape[3] in (1, 3):
        height, width, channels, first = shape[1], shape[2], shape[3], False
    elif shape[1] in (1, 3):
        channels, height, width, first = shape[1], shape[2], shape[3], True
    else:
        return None, f"its input has the shape {list(shape)}, without 1 or 3 channels"
    return ((height, width) if height and width else None, channels, first), ""


def _units(model: Any) -> int | None:
    """Length of the vector that it gives for each image; None: it gives something else."""
    outputs = getattr(model, "outputs", None) or []
    if len(outputs) != 1 or len(outputs[0].shape) != 2 or not outputs[0].shape[1]:
        return None
    return int(outputs[0].shape[1])


def _scale(model: Any, overrides: Overrides, known: Known) -> scaling.Found:
    if overrides.scale:
        return scaling.Found(overrides.scale, "as you say")
    return scaling.Found(known.scale, known.scale_reason) if known.scale else scaling.find(model)


def _scores(model: Any, units: int, overrides: Overrides, known: Known) -> tuple[Scores | None, str]:
    """What the user or the origin says, or else the last activation."""
    if overrides.scores:
        return overrides.scores, "as you say"
    if known.scores:
        return known.scores, known.scores_reason
    if not hasattr(model, "layers"):
        return None, ""
    layer = last_layer(model)
    kind = type(layer).__name__
    activation = getattr(layer, "activation", None)
    name = kind.lower() if kind in ("Softmax", "Sigmoid") else getattr(activation, "__name__", "linear")
    if name == "softmax":
        return "softmax", f"the activation of its last layer, {layer.name}"
    if name == "sigmoid":
        return ("sigmoid" if units == 1 else "multi-label"), f"the activation of its last layer, {layer.name}"
    return None, ""


def last_layer(model: Any) -> Any:
    """The layer or operation that makes the output, inside of models that are built in."""
    history = getattr(model.outputs[0], "_keras_history", None)
    layer = history[0] if history else model.layers[-1]
    return last_layer(layer) if getattr(layer, "outputs", None) and hasattr(layer, "layers") else layer
