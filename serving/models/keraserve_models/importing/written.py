"""The versions that an import writes, each compared with what it was made of."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keraserve_models.errors import ImportRejected, Undecided, first_line
from keraserve_models.exporting import openvino_network, precision, row_independence, signatures, warm_up
from keraserve_models.exporting.card import image_input
from keraserve_models.exporting.served import Served, served
from keraserve_models.importing import (
    classifier,
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
from keraserve_protocol import differences
from keraserve_protocol.signatures import DEFAULT_SIGNATURE, IMAGE_BYTES

_ROWS = 5
_CHANGING = (
    "It gives another result when the same request comes again: it keeps a state, which all callers share, or"
    " draws random numbers."
)
_ROUNDED = 0.02  # probabilities of float16 have such a sum


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
    height, width = found.size
    try:
        explained = signatures.save(place, network, labels)
    except ValueError as error:  # of a layer: too few pixels are left for it
        if request.overrides.size is None:
            raise
        raise ImportRejected(
            f"it can't be run on images of {height} x {width} pixels: say another --size"
        ) from error
    warm_up.write(place / folders.WARM_UP, request.name, found.size, found.channels)
    content = images.read(request.images, found) if request.images else images.drawn(found)
    what = f"{len(content)} images of yours" if request.images else f"{len(content)} generated images"

    def predicted(pixels: Any) -> Any:
        scaled = classifier.scaled_by_keras(pixels, found.scale)
        given = np.moveaxis(scaled, -1, 1) if found.channels_first else scaled
        values = np.asarray(original.predict(given), np.float32)
        _check_scores(values, found)
        return np.asarray(classifier.probabilities(tf.constant(values), found.scores))

    pixels = images.pixels(content, found)
    with served(place) as version:
        ours = version.run(IMAGE_BYTES, {IMAGE_BYTES: content})["probabilities"]
        measured = row_independence.measure(version, found.size, found.channels)
    largest = differences.largest({"probabilities": ours}, {"probabilities": predicted(pixels)})
    numbered = list(labels) == [str(number) for number in range(len(labels))]
    return Written(
        {
            "task": "images",
            "labels": list(labels),
            "input": image_input((height, width, found.channels), cropped=found.cropped),
            "scale": found.scale.value,
            "scores": found.scores,
            "found": list(found.reasons),
            **explained,
            **measured,
            **precision.measure(place, images.labelled(request.labelled, labels, found)),
        },
        Compared(largest, len(pixels), what),
        ["Its classes have no names, only numbers: nobody gave a file of labels."] if numbered else [],
    )


def _check_scores(values: Any, found: ImageFindings) -> None:
    """Reject values of the last layer, float32 [N, K], that are not what they are said to be."""
    within = bool(np.all((values > -_ROUNDED) & (values < 1 + _ROUNDED)))
    whole = within and bool(np.all(np.abs(values.sum(-1) - 1) < _ROUNDED))
    if found.scores == "logits" and whole and found.units > 1:
        raise ImportRejected("its outputs are probabilities already, no logits: say --scores softmax")
    if (found.scores == "softmax" and not whole) or (found.scores != "logits" and not within):
        raise ImportRejected(
            f"its outputs are no probabilities ({found.scores}): they go from {values.min():.3g} to"
            f" {values.max():.3g}, with the sum {values[0].sum():.3g}: say --scores logits, or --task tensors"
        )


def of_tensors(place: Path, model: Any, request: ImportRequest) -> Written:
    """Write a Keras model with its own inputs and outputs."""
    if not getattr(model, "inputs", None):
        raise Undecided(
            "its inputs are not known, as it was never called: call it once, save it again, and import that"
        )
    if stateful := tensors.stateful(model):
        raise ImportRejected(
            f"its layer {stateful} keeps its state from one call to the next, which a server would mix"
            " between callers: build it with stateful=False"
        )
    with tempfile.TemporaryDirectory() as elsewhere:
        card = Path(elsewhere) / Path(folders.CARD_ASSET).name
        card.write_text("{}", encoding="utf-8")
        module = tensors.TensorModel(model, card)
        options = tf.saved_model.SaveOptions(save_debug_info=False, experimental_custom_gradients=False)
        traced = module.signatures()
        tf.saved_model.save(module, str(place), signatures=traced, options=options)
    with served(place) as version:
        specs = version.inputs(DEFAULT_SIGNATURE)
        length, ours = _fitting(version, specs)
        made = made_tensors.made(specs, _ROWS, length)
        measured = row_independence.measure_tensors(version, DEFAULT_SIGNATURE, made)
    theirs = tensors.predicted(model, made)
    converted = openvino_network.write(place, traced[DEFAULT_SIGNATURE], [DEFAULT_SIGNATURE], made)
    one = made_tensors.made(specs, 1, length)
    warm_up.write_tensors(place / folders.WARM_UP, request.name, DEFAULT_SIGNATURE, one)
    return Written(
        {"task": "tensors", **measured, **example.of(DEFAULT_SIGNATURE, one), **converted},
        Compared(differences.largest(ours, theirs), _ROWS, f"{_ROWS} rows of generated values"),
    )


def _fitting(
    version: Served, specs: Mapping[str, Any], lengths: Sequence[int] = made_tensors.LENGTHS
) -> tuple[int, dict[str, Any]]:
    """The first length of open dimensions with which a version can be run, and what it gives then."""
    length, *longer = lengths
    try:
        return length, version.run(DEFAULT_SIGNATURE, made_tensors.made(specs, _ROWS, length))
    except (tf.errors.OpError, ValueError) as error:
        if longer:
            return _fitting(version, specs, longer)
        raise ImportRejected(
            "it can't be compared with the model: it fails with made tensors, whose open dimensions are"
            f" {length} long: {first_line(error)}"
        ) from error


def of_saved_model(
    place: Path, loaded: Loaded, source: Source, request: ImportRequest, tell: Callable[[str], None]
) -> Written:
    """Copy a SavedModel with its signatures as they are."""
    saved_models.copy(source.path, place)
    tell(f"served as it is: {', '.join(sorted(loaded.signatures))}")
    function = saved_models.only(loaded)
    measured: Mapping[str, Any] = {"independent_rows": False, "largest_row_difference": None}
    warnings: list[str] = []
    largest = 0.0
    if function is not None:
        specs = saved_models.inputs_of(function)
        name = next(key for key, value in loaded.signatures.items() if value is function)
        made = _constants(made_tensors.made(specs, _ROWS), specs)
        try:
            theirs = function(**made)
            again = function(**made)
        except tf.errors.OpError:  # generated values are not what it takes
            return Written(
                {"task": "tensors", **measured},
                Compared(0.0, 0, "nothing: the model rejects generated values"),
                ["Nothing was compared: the model rejects generated values."],
                in_graph=False,
            )
        if differences.largest(_arrays(theirs), _arrays(again)) > differences.TOLERANCE:
            warnings.append(_CHANGING)
            if not request.any_difference:
                raise ImportRejected(f"{_CHANGING} --any-difference publishes it all the same.")
        arrays = _arrays(made)
        with served(place) as version:
            ours = version.run(name, arrays)
            measured = row_independence.measure_tensors(version, name, arrays)
        largest = differences.largest(ours, _arrays(theirs))
        one = made_tensors.made(specs, 1)
        warm_up.write_tensors(place / folders.WARM_UP, request.name, name, one)
        measured = {**measured, **example.of(name, one)}
        if not warnings:
            measured |= openvino_network.write(place, function, [name], arrays)
    return Written(
        {"task": "tensors", **measured},
        Compared(largest, _ROWS, f"{_ROWS} rows of generated values"),
        warnings,
        in_graph=False,
    )


def _arrays(tensors: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _constants(made: Mapping[str, Any], specs: Mapping[str, tf.TensorSpec]) -> dict[str, Any]:
    return {name: tf.constant(value, specs[name].dtype) for name, value in made.items()}
