"""The versions that an import writes, each compared with what it was made of."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keraserve_models.errors import Undecided
from keraserve_models.exporting import row_independence, signatures, warm_up
from keraserve_models.exporting.card import image_input
from keraserve_models.exporting.served import served
from keraserve_models.importing import (
    classifier,
    comparison,
    example,
    images,
    made_tensors,
    saved_models,
    tensors,
)
from keraserve_models.importing.comparison import Compared
from keraserve_models.importing.findings import ImageFindings
from keraserve_models.importing.request import ImportRequest
from keraserve_models.importing.saved_models import Loaded
from keraserve_models.importing.source import Source
from keraserve_models.repository import folders
from keraserve_protocol.signatures import DEFAULT_SIGNATURE, IMAGE_BYTES

_ROWS = 5


@dataclass(frozen=True)
class Written:
    """A version's files are there; this is what its card says.

    Attributes:
        card: task, input, labels, rows.
        compared: with the model that it was made of.
        warnings: for everybody who sees a response, a sentence each.
        in_graph: a signature of it gives the card.
    """

    card: dict[str, Any]
    compared: Compared
    warnings: list[str] = field(default_factory=list[str])
    in_graph: bool = True


def of_classifier(
    place: Path, model: Any, found: ImageFindings, labels: Sequence[str], request: ImportRequest
) -> Written:
    """Write an image classifier with the signatures of our own models."""
    original = classifier.Original.of(model)
    network = classifier.network(original, found)
    signatures.save(place, network, labels)
    height, width = found.size
    warm_up.write(place / folders.WARM_UP, request.name, found.size, found.channels)
    content = images.read(request.images, found) if request.images else images.drawn(found)
    what = f"{len(content)} images of yours" if request.images else f"{len(content)} generated images"

    def predicted(pixels: Any) -> Any:
        scaled = classifier.scaled_by_keras(pixels, found.scale)
        given = np.moveaxis(scaled, -1, 1) if found.channels_first else scaled
        values = np.asarray(original.predict(given), np.float32)
        return np.asarray(classifier.probabilities(tf.constant(values), found.scores))

    pixels = images.pixels(content, found)
    with served(place) as version:
        ours = version.run(IMAGE_BYTES, {IMAGE_BYTES: content})["probabilities"]
        measured = row_independence.measure(version, found.size, found.channels)
    largest = comparison.largest({"probabilities": ours}, {"probabilities": predicted(pixels)})
    numbered = list(labels) == [str(number) for number in range(len(labels))]
    return Written(
        {
            "task": "images",
            "labels": list(labels),
            "input": image_input((height, width, found.channels), cropped=found.cropped),
            "scale": found.scale.value,
            "scores": found.scores,
            "found": list(found.reasons),
            **measured,
        },
        Compared(largest, len(pixels), what),
        ["Its classes have no names, only numbers: nobody gave a file of labels."] if numbered else [],
    )


def of_tensors(place: Path, model: Any, request: ImportRequest) -> Written:
    """Write a Keras model with its own inputs and outputs."""
    if not getattr(model, "inputs", None):
        raise Undecided(
            "its inputs are not known, as it was never called: call it once, save it again, and import that"
        )
    with tempfile.TemporaryDirectory() as elsewhere:
        card = Path(elsewhere) / Path(folders.CARD_ASSET).name
        card.write_text("{}", encoding="utf-8")
        module = tensors.TensorModel(model, card)
        options = tf.saved_model.SaveOptions(save_debug_info=False, experimental_custom_gradients=False)
        tf.saved_model.save(module, str(place), signatures=module.signatures(), options=options)
    with served(place) as version:
        specs = version.inputs(DEFAULT_SIGNATURE)
        made = made_tensors.made(specs, _ROWS)
        ours = version.run(DEFAULT_SIGNATURE, made)
        measured = row_independence.measure_tensors(version, DEFAULT_SIGNATURE, made)
    theirs = tensors.predicted(model, made)
    one = made_tensors.made(specs, 1)
    warm_up.write_tensors(place / folders.WARM_UP, request.name, DEFAULT_SIGNATURE, one)
    return Written(
        {"task": "tensors", **measured, **example.of(DEFAULT_SIGNATURE, one)},
        Compared(comparison.largest(ours, theirs), _ROWS, f"{_ROWS} rows of generated values"),
    )


def of_saved_model(
    place: Path, loaded: Loaded, source: Source, request: ImportRequest, tell: Callable[[str], None]
) -> Written:
    """Copy a SavedModel with its signatures as they are."""
    saved_models.copy(source.path, place)
    tell(f"served as it is: {', '.join(sorted(loaded.signatures))}")
    function = saved_models.only(loaded)
    measured: Mapping[str, Any] = {"independent_rows": False, "largest_row_difference": None}
    largest = 0.0
    if function is not None:
        specs = saved_models.inputs_of(function)
        name = next(key for key, value in loaded.signatures.items() if value is function)
        made = _constants(made_tensors.made(specs, _ROWS), specs)
        try:
            theirs = function(**made)
        except tf.errors.OpError:  # generated values are not what it takes
            return Written(
                {"task": "tensors", **measured},
                Compared(0.0, 0, "nothing: the model rejects generated values"),
                in_graph=False,
            )
        arrays = {key: value.numpy() for key, value in made.items()}
        with served(place) as version:
            ours = version.run(name, arrays)
            measured = row_independence.measure_tensors(version, name, arrays)
        largest = comparison.largest(ours, {key: value.numpy() for key, value in theirs.items()})
        one = made_tensors.made(specs, 1)
        warm_up.write_tensors(place / folders.WARM_UP, request.name, name, one)
        measured = {**measured, **example.of(name, one)}
    return Written(
        {"task": "tensors", **measured},
        Compared(largest, _ROWS, f"{_ROWS} rows of generated values"),
        in_graph=False,
    )


def _constants(made: Mapping[str, Any], specs: Mapping[str, tf.TensorSpec]) -> dict[str, Any]:
    return {name: tf.constant(value, specs[name].dtype) for name, value in made.items()}
