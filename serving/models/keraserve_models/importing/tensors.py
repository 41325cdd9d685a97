"""A model that is served as it is: every input and output a tensor of the model's own type."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keraserve_models.errors import ImportRejected
from keraserve_models.importing import state
from keraserve_protocol.signatures import CARD_OUTPUT, DEFAULT_SIGNATURE, MODEL_CARD


class TensorModel(tf.Module):
    """A Keras model with one signature, and its card.

    Args:
        model: any Keras model whose inputs are known.
        card_file: becomes `assets/model_card.json`.
    """

    def __init__(self, model: Any, card_file: Path) -> None:
        super().__init__()
        self._model = model
        self.state = state.of(model)  # what the graph captures has to hang on the object that is saved
        self.card_file = tf.saved_model.Asset(str(card_file))
        self._outputs = output_names(model)

    def signatures(self) -> dict[str, Any]:
        """`serving_default` with inputs and outputs under the model's names for them, and `model_card`."""
        specs = {
            name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=name)
            for name, tensor in inputs_by_name(self._model).items()
        }
        run = tf.function(self._run).get_concrete_function(**specs)
        for name, given in run.structured_outputs.items():
            if not isinstance(given, tf.Tensor):
                kind = type(given).__name__.removesuffix("Spec")
                raise ImportRejected(
                    f"its output {name} is a {kind}, which no server gives: end the model with a layer that"
                    " makes a tensor of it"
                )
        return {
            DEFAULT_SIGNATURE: run,
            MODEL_CARD: tf.function(self._card).get_concrete_function(),
        }

    def _run(self, **inputs: Any) -> dict[str, Any]:
        results = self._model(arranged(self._model, inputs), training=False)
        return dict(zip(self._outputs, tf.nest.flatten(results), strict=True))

    def _card(self) -> dict[str, Any]:
        content = tf.io.read_file(self.card_file.asset_path)
        return {CARD_OUTPUT: content, "bytes": tf.cast(tf.strings.length(content), tf.int64)}


def inputs_by_name(model: Any) -> dict[str, Any]:
    """The inputs of a Keras model, symbolic, under names that a signature may have."""
    keys = _keys(model) or [tensor.name.split(":")[0] for tensor in model.inputs]
    return dict(zip(_valid(keys, "input"), model.inputs, strict=True))


def _keys(model: Any) -> list[str] | None:
    """The keys of its inputs, in their order, where it takes a dict of them."""
    taken = getattr(model, "_inputs_struct", None)
    if not isinstance(taken, dict):
        return None
    keys = {id(tensor): str(key) for key, tensor in taken.items()}
    return [keys[id(tensor)] for tensor in model.inputs]


def _valid(names: Iterable[str], kind: str) -> list[str]:
    """Names as arguments of a TensorFlow function may be called; numbers where that makes two the same."""
    words = [re.sub(r"[^a-zA-Z0-9_]", "_", name) for name in names]
    words = [word if word[:1].isalpha() and word != "self" else f"{kind}_{word}" for word in words]
    return words if len(set(words)) == len(words) else [f"{kind}_{place}" for place in range(len(words))]


def output_names(model: Any) -> list[str]:
    """A name for each output: its key where the model gives a dict, else the layer's."""
    given = getattr(model, "_outputs_struct", None)
    if isinstance(given, dict) and len(given) == len(model.outputs):
        return _valid(sorted(given), "output")  # in the order of tf.nest
    # A Sequential model has no names for its outputs: its last layer has one.
    return _valid(getattr(model, "output_names", None) or [model.layers[-1].name], "output")


def arranged(model: Any, inputs: Mapping[str, Any]) -> Any:
    """Tensors by name as the model was built to take them: alone, in a list, or in a dict."""
    values = [inputs[name] for name in inputs_by_name(model)]
    if keys := _keys(model):
        return dict(zip(keys, values, strict=True))
    return values[0] if len(values) == 1 else values


def predicted(model: Any, made: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """What `model.predict` gives, under the names of the version's outputs."""
    inputs = {name: tf.constant(value) if value.dtype == object else value for name, value in made.items()}
    results = model.predict(arranged(model, inputs), verbose=0)
    return dict(zip(output_names(model), map(np.asarray, tf.nest.flatten(results)), strict=True))


def stateful(model: Any) -> str | None:
    """The name of a layer that keeps its state from one call to the next; None: none does."""
    layers = getattr(model, "layers", None)
    if layers is None:
        return model.name if getattr(model, "stateful", False) else None
    return next(filter(None, map(stateful, layers)), None)
