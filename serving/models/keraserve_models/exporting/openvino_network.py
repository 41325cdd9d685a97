"""`assets.extra/openvino/`: the network of a version in OpenVINO's form, for the embedded model server.

Of an image classifier it is what lies between pixels and probabilities; decoding, resizing and class names
stay in the SavedModel, so that they are the same. Of another model it is the whole signature.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keraserve_models.errors import first_line
from keraserve_protocol import differences
from keraserve_protocol.openvino_form import CARD_KEY, NETWORK
from keraserve_protocol.quiet_import import without


def load() -> Any:
    """The package `openvino`, without its messages to its makers; None: it is not installed."""
    try:
        with without("openvino_telemetry"):
            import openvino
    except ModuleNotFoundError:
        return None
    return openvino


def write(
    place: Path, function: Any, signatures: Sequence[str], rows: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Write a function's form for OpenVINO, if it is installed and computes the same.

    Args:
        place: the version's folder.
        function: a concrete one, of named tensors.
        signatures: of the version, which have the function in them, or are it.
        rows: an array for each input, to compare both on.

    Returns:
        For the card: which signatures it is for, or why there is none.
    """
    openvino = load()
    if openvino is None:
        return {CARD_KEY: {"none": "OpenVINO was not installed where the version was made"}}
    file = place / NETWORK
    try:
        difference = _written(openvino, file, function, rows)
    except Exception as error:  # whatever OpenVINO raises at a model that it can't convert
        reason = f"OpenVINO can't convert it: {first_line(error)}"
    else:
        if difference <= differences.TOLERANCE:
            said = {"signatures": list(signatures), "largest_difference": difference}
            return {CARD_KEY: {**said, "openvino": openvino.__version__.split("-")[0]}}
        reason = f"OpenVINO's results differ by {difference:.2g}, where {differences.TOLERANCE:g} is allowed"
    shutil.rmtree(file.parent, ignore_errors=True)
    return {CARD_KEY: {"none": reason}}


def _written(openvino: Any, file: Path, function: Any, rows: Mapping[str, Any]) -> float:
    """Convert a function into `file`; gives the largest difference of its results on `rows`."""
    core = openvino.Core()
    file.parent.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "network.pb"
        frozen = _frozen(function)
        graph.write_bytes(frozen.graph.as_graph_def().SerializeToString())
        model = core.read_model(graph)
        names = sorted(function.structured_outputs)
        results = [model.output(tensor.name) for tensor in frozen.outputs]
        model = openvino.Model(results, model.get_parameters())
        for name, port in zip(names, model.outputs, strict=True):
            port.get_tensor().set_names({name})
        for port in model.inputs:
            port.get_tensor().set_names({port.get_any_name().split(":")[0]})
        openvino.save_model(model, file, compress_to_fp16=False)
    compiled = core.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    given = compiled(dict(rows))
    ours = {name: given[name] for name in names}
    theirs = function(**{name: tf.constant(value) for name, value in rows.items()})
    return differences.largest(ours, {name: value.numpy() for name, value in theirs.items()})


def _frozen(function: Any) -> Any:
    """The function with constants in place of its variables."""
    from tensorflow.python.framework import convert_to_constants  # pyright: ignore

    return convert_to_constants.convert_variables_to_constants_v2(function)
