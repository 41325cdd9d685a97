"""A model that is served as it is: every input and output a tensor of the model's own type."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

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
        return {
            DEFAULT_SIGNATURE: tf.function(self._run).get_concrete_function(**specs),
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
    return {tensor.name.split(":")[0].replace("/", "_"): tensor for tensor in model.inputs}


def output_names(model: Any) -> list[str]:
    """A name for each output: the model's own where it has several, else the layer's."""
    # A Sequential model has no names for its outputs: its last layer has one.
    named = getattr(model, "output_names", None) or [model.layers[-1].name]
    names = [str(name).replace("/", "_") for name in named]
    if len(set(names)) == len(names):
        return names
    return [f"output_{place}" for place in range(len(names))]


def arranged(model: Any, inputs: Mapping[str, Any]) -> Any:
    """Tensors by name as the model was built to take them: alone, in a list, or in a dict."""
    if isinstance(getattr(model, "_inputs_struct", None), dict):
        return dict(inputs)
    values = [inputs[name] for name in inputs_by_name(model)]
    return values[0] if len(values) == 1 else values


def predicted(model: Any, made: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """What `model.predict` gives, under the names of the version's outputs."""
    inputs = {name: tf.constant(value) if value.dtype == object else value for name, value in made.items()}
    results = model.predict(arranged(model, inputs), verbose=0)
    return dict(zip(output_names(model), map(np.asarray, tf.nest.flatten(results)), strict=True))
