"""The rules of transfer learning, checked while an experiment runs.

`Phase.frozen` says which layers are reused; an experiment that breaks a rule for those gets an exception.

- Freezing is recursive: it reaches the layers of a nested model.
- `compile` comes after every change of `trainable`.
- Frozen weights are bit-identical after training.
- BatchNormalization in a reused part stays in inference mode, frozen or fine-tuned: what is thawed keeps its
  BatchNormalization layers frozen, and Keras runs those with their stored moments.
- Fine-tuning comes after the training of the new head, and at a lower rate.
- A reused model is cloned, so that the original does not change.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keraserve_training.errors import FineTuningTooFastError, FrozenWeightsChangedError, NotCompiledError
from keraserve_training.settings import ALL


def clone(model: keras.Model) -> keras.Model:
    """Copy a model with its weights; the copy shares no variable with the original."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def set_trainable(
    model: keras.Model, *, frozen: Iterable[keras.Layer], thawed: Iterable[keras.Layer] = ()
) -> None:
    """Let all layers learn but `frozen` and the BatchNormalization in `thawed`; `compile` has to follow."""
    for layer in _inside([model]):
        layer.trainable = True
    for layer in _inside(frozen):
        layer.trainable = False
    for layer in _inside(thawed):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def thawed_by(
    model: keras.Model, frozen: Sequence[keras.Layer], before: Sequence[keras.Layer]
) -> list[keras.Layer]:
    """The layers of `model` that some earlier phase froze (`before`) and this one does not."""
    still = {id(layer) for layer in _inside(frozen)}
    earlier = {id(layer) for layer in _inside(before)}
    return [layer for layer in _inside([model]) if id(layer) in earlier - still]


def before(model: keras.Model, name: str) -> list[keras.Layer]:
    """The layers of the pre-trained network in `model` that come before the first one called `name`.

    `name` may be the beginning of its name; `ALL`, from which on all learn, has none before it.
    """
    if name == ALL:
        return []
    for container in _inside([model]):
        layers: Any = getattr(container, "layers", [])
        place = next((place for place, layer in enumerate(layers) if layer.name.startswith(name)), None)
        if place is not None:
            return layers[:place]
    raise ValueError(f"no layer of {model.name} is called {name}")


def check_fine_tuning(name: str, rate: float, previous: Mapping[str, Any]) -> None:
    """Reject fine-tuning before the new head was trained, or at a rate that is not lower than the head's.

    Args:
        name: of the phase that fine-tunes.
        rate: its learning rate.
        previous: the description of the phase before, with its `epochs` and `learning_rate`.

    Raises:
        FineTuningTooFastError: the phase before had no epochs, or not a higher learning rate.
    """
    if previous["epochs"] < 1:
        raise FineTuningTooFastError(
            f"Phase {name!r} unfreezes layers before the new head has learnt anything: train it first."
        )
    if rate >= previous["learning_rate"]:
        raise FineTuningTooFastError(
            f"Phase {name!r} unfreezes layers at a learning rate of {rate:g}, not lower than the"
            f" {previous['learning_rate']:g} before: the reused weights would be damaged. Lower it."
        )


def digest(weights: Iterable[keras.Variable]) -> str:
    """SHA-256 over the bytes of all weights, in hexadecimal: equal only if they are bit-identical."""
    sha = hashlib.sha256()
    for weight in weights:
        sha.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return sha.hexdigest()


class Guard:
    """Remembers the state of a compiled model, and checks later that training has kept the rules."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._trainable = [id(weight) for weight in model.trainable_variables]
        self._frozen = [weight for layer in _frozen_leaves(model) for weight in layer.weights]
        self._digest = digest(self._frozen)

    def check_compiled(self) -> None:
        """Raise NotCompiledError if `trainable` was changed since the guard was set up."""
        if [id(weight) for weight in self._model.trainable_variables] != self._trainable:
            raise NotCompiledError(
                f"Layers of {self._model.name!r} were frozen or unfrozen after compile, which has no effect"
                " on training: put the change into a phase of its own."
            )

    def check_frozen(self) -> None:
        """Raise FrozenWeightsChangedError unless every frozen weight is bit-identical."""
        if digest(self._frozen) != self._digest:
            raise FrozenWeightsChangedError(
                f"Frozen weights of {self._model.name!r} changed during training."
            )


def _inside(layers: Iterable[keras.Layer]) -> list[keras.Layer]:
    """The layers and everything nested in them."""
    return [inner for layer in layers for inner in [layer, *layer._flatten_layers(include_self=False)]]


def _frozen_leaves(model: keras.Model) -> list[keras.Layer]:
    """Frozen layers that hold no others: a frozen container's weights are its leaves'."""
    return [
        layer
        for layer in _inside([model])
        if not layer.trainable and not layer._flatten_layers(include_self=False)
    ]
