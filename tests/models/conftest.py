"""Model files as other people save them, small and untrained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keraserve_models import quiet

quiet.prepare()

import keras  # noqa: E402
from keras import layers  # noqa: E402

SIZE = (12, 16)


def images_in(
    *before: Any, channels: int = 3, units: int = 3, activation: str | None = "softmax"
) -> keras.Model:
    """A network of images, with `before` between its input and its first weights."""
    inputs = keras.Input((*SIZE, channels))
    values = inputs
    for layer in before:
        values = layer(values)
    values = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(values))
    return keras.Model(inputs, layers.Dense(units, activation=activation)(values))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    keras.utils.set_random_seed(3)


@pytest.fixture
def saved(tmp_path: Path) -> Any:
    """Save a model under a name; gives the file."""

    def save(model: keras.Model, name: str = "model.keras") -> Path:
        model.save(tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A repository that is not there yet."""
    return tmp_path / "models"


class Doubled(keras.Model):
    """A subclassed model."""

    def call(self, inputs: Any) -> Any:
        """Twice what comes."""
        return 2.0 * inputs


@pytest.fixture
def text_model() -> keras.Model:
    """Text in, two probabilities out."""
    words = layers.TextVectorization(30, output_sequence_length=5)
    words.adapt(np.array(["a quick brown fox", "the lazy dog"]))
    inputs = keras.Input((1,), dtype="string", name="text")
    values = layers.GlobalAveragePooling1D()(layers.Embedding(30, 4)(words(inputs)))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(values))


@pytest.fixture
def two_inputs() -> keras.Model:
    """Two inputs of two types, two outputs."""
    size, count = keras.Input((4,), name="size"), keras.Input((2,), name="count", dtype="int32")
    values = layers.Concatenate()([size, layers.Rescaling(1.0)(count)])
    return keras.Model([size, count], [layers.Dense(2, name="a")(values), layers.Dense(1, name="b")(values)])
