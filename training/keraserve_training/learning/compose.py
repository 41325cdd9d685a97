"""Join a frozen network and a head that was trained on its features to one model that takes images."""

from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt

from keraserve_models import atomic
from keraserve_training.data.examples import Examples
from keraserve_training.errors import PathsDisagreeError
from keraserve_training.learning import rules
from keraserve_training.learning.fit import Trained, load
from keraserve_training.records.run_folder import MODEL, RESULT

_COMPARED = 16  # images on which the joined model is compared with the head
_TOLERANCE = 1e-4


def join(stem: keras.Model, head: keras.Model) -> keras.Model:
    """One model of images float32 [N, H, W, C], 0 to 255, to the head's output. The layers are shared."""
    inputs = keras.Input(stem.input_shape[1:])
    return keras.Model(inputs, head(stem(inputs, training=False)))


def compose(
    folder: Path, stem: keras.Model, head: Trained, images: Examples, features: Examples, *, exact: bool
) -> Trained:
    """Join `stem` and `head`, compare the joined model with the head, and save it in `folder`.

    Args:
        folder: of the joined model; `result.json` in it means that it is done.
        stem: images to features.
        head: features to classes.
        images: some on which both are compared.
        features: of the same images.
        exact: whether the features were computed as the stem computes (float32).

    Raises:
        PathsDisagreeError: the probabilities differ by more than 1e-4.
    """
    if (folder / RESULT).exists():
        return load(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = join(stem, head.model)
    joined, alone = (_probabilities(*each, head) for each in ((model, images), (head.model, features)))
    difference = float(np.abs(joined - alone).max())
    if exact and difference > _TOLERANCE:
        raise PathsDisagreeError(
            f"{folder.name}: backbone and head give probabilities that differ by {difference:.2g} from those"
            f" of {head.name!r} on stored features (at most {_TOLERANCE:g}): remove those and run"
            " again with --force."
        )
    atomic.write_with(folder / MODEL, model.save)
    result = head.result | {
        "input": list(model.input_shape[1:]),
        "parameters": int(model.count_params()),
        "digest": rules.digest(model.weights),
        "composed_of": [stem.name, head.name],
        "difference": difference,
        "seconds": 0.0,
    }
    atomic.write_json(folder / RESULT, result)
    return Trained(folder.name, model, head.labels, head.output, [], result)


def _probabilities(model: keras.Model, examples: Examples, head: Trained) -> npt.NDArray[np.float32]:
    order = np.arange(min(_COMPARED, len(examples)))
    values = model.predict(examples.batches(order, _COMPARED), verbose=0)  # pyright: ignore
    return np.asarray(head.probabilities(values))
