"""A SavedModel of somebody else with its signatures, from Keras, TensorFlow 1 or TensorFlow Hub."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

from keraserve_models.errors import ImportRejected, first_line
from keraserve_protocol.signatures import DEFAULT_SIGNATURE

_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


@dataclass(frozen=True)
class Loaded:
    """A SavedModel in memory.

    Attributes:
        whole: as TensorFlow gives it; has to live as long as its functions.
        signatures: its functions by name, each of named tensors.
    """

    whole: Any
    signatures: Mapping[str, Any]


class Signature:
    """A signature with one input and one output, which is called as a Keras model is.

    Attributes:
        inputs, outputs: one each, with `shape` and `dtype`; of its layers nothing is known.
        whole: the SavedModel.
    """

    def __init__(self, loaded: Loaded) -> None:
        """Take the signature that is to be looked at.

        Raises:
            ImportRejected: it can't be told which one, or it is not one of float images.
        """
        function = only(loaded)
        if function is None:
            names = ", ".join(sorted(loaded.signatures))
            raise ImportRejected(f"none of its signatures is called {DEFAULT_SIGNATURE}: it has {names}")
        specs = inputs_of(function)
        self.inputs = [_Spec(spec) for spec in specs.values()]
        self.outputs = [_Spec(spec) for spec in function.structured_outputs.values()]
        if len(specs) == 1 and not self.inputs[0].dtype.is_floating:
            raise ImportRejected(
                "it can't be served as an image classifier: its input is"
                f" {self.inputs[0].dtype.name}, and pixels are scaled to floats"
            )
        self.whole = loaded.whole
        self._function, self._name = function, next(iter(specs), "")

    def __call__(self, pixels: Any) -> Any:
        """Call it with [N, H, W, C] (or [N, C, H, W]); gives [N, K]."""
        [values] = self._function(**{self._name: tf.cast(pixels, self.inputs[0].dtype)}).values()
        return values


class _Spec:
    def __init__(self, spec: tf.TensorSpec) -> None:
        self.shape = () if spec.shape.rank is None else tuple(spec.shape)
        self.dtype = spec.dtype


def load(folder: Path) -> Loaded:
    """Load a SavedModel.

    Raises:
        ImportRejected: it can't be loaded, needs a Python program to run, or has no signature.
    """
    try:
        whole = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise ImportRejected(f"{folder} can't be loaded: {first_line(error)}") from error
    signatures: dict[str, Any] = {name: whole.signatures[name] for name in getattr(whole, "signatures", {})}
    if not signatures:
        raise ImportRejected(
            f"{folder} has no signature, so no server can call it: load it, and save it again with"
            " tf.saved_model.save(model, folder, signatures=model.__call__.get_concrete_function(...))"
        )
    if not _has_serving_graph(folder):
        raise ImportRejected(
            f"{folder} has no graph with the one tag 'serve', which model servers load: write it again with"
            " that tag"
        )
    for name, function in signatures.items():
        if found := _PYTHON & set(_operations(function)):
            raise ImportRejected(
                f"signature {name!r} of {folder} calls Python ({', '.join(sorted(found))}), which is not in a"
                " SavedModel: write that part with TensorFlow's operations"
            )
    return Loaded(whole, signatures)


def _has_serving_graph(folder: Path) -> bool:
    graphs = _graphs(folder).meta_graphs
    return any(set(graph.meta_info_def.tags) == {tf.saved_model.SERVING} for graph in graphs)


def _graphs(folder: Path) -> Any:
    """What `saved_model.pb` holds, or `saved_model.pbtxt`, the same as text."""
    file = folder / "saved_model.pb"
    if file.is_file():
        return saved_model_pb2.SavedModel.FromString(file.read_bytes())
    return text_format.Parse((folder / "saved_model.pbtxt").read_text(), saved_model_pb2.SavedModel())


def _operations(function: Any) -> set[str]:
    definition = function.graph.as_graph_def()
    inner = [node for each in definition.library.function for node in each.node_def]
    return {node.op for node in [*definition.node, *inner]}


def inputs_of(function: Any) -> dict[str, tf.TensorSpec]:
    """The inputs of a signature by name."""
    return dict(function.structured_input_signature[1])


def only(loaded: Loaded) -> Any:
    """The signature to be looked at: `serving_default`, or the only one; None: neither."""
    if DEFAULT_SIGNATURE in loaded.signatures:
        return loaded.signatures[DEFAULT_SIGNATURE]
    return next(iter(loaded.signatures.values())) if len(loaded.signatures) == 1 else None


def copy(source: Path, place: Path) -> None:
    """Copy a SavedModel's files into the folder of a version, but for `assets.extra`; its graph as bytes."""
    for each in sorted(source.iterdir()):
        if each.is_dir() and each.name in ("variables", "assets"):
            shutil.copytree(each, place / each.name)
        elif each.name in ("saved_model.pb", "fingerprint.pb", "keras_metadata.pb"):
            shutil.copy2(each, place / each.name)
    if not (place / "saved_model.pb").exists():
        (place / "saved_model.pb").write_bytes(_graphs(source).SerializeToString())
