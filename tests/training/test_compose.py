"""Backbone and head put together: the same numbers as on stored features, or nothing at all."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keraserve_training import profiles
from keraserve_training.data import procedural
from keraserve_training.data.images import Images
from keraserve_training.errors import PathsDisagreeError
from keraserve_training.learning import compose, fit
from keraserve_training.records import run_folder

pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture(scope="module")
def images() -> Images:
    return procedural.images(40, classes=3, size=(8, 8), channels=3, seed=1)


@pytest.fixture(scope="module")
def stem() -> keras.Model:
    keras.utils.set_random_seed(1)
    layers = keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3, activation="relu")
    return keras.Sequential([keras.Input((8, 8, 3)), *layers], name="stem")


@pytest.fixture(scope="module")
def features(stem: keras.Model, images: Images) -> Images:
    return Images(np.asarray(stem(images.images.astype(np.float32))), images.labels)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory, features: Images) -> fit.Trained:
    def build() -> keras.Model:
        layers = (
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, activation="softmax"),
        )
        return keras.Sequential([keras.Input((6, 6, 4)), *layers])

    phases = [fit.Phase("trained", 2, lambda: keras.optimizers.Adam(1e-2))]
    plan = fit.Plan("head", build, features, features, phases, ("a", "b", "c"), "softmax")
    folder = tmp_path_factory.mktemp("run") / "head"
    return fit.fit(folder, plan, seed=1, profile=profiles.FULL)


def test_the_composed_model_agrees_and_stays(
    tmp_path: Path, stem: keras.Model, head: fit.Trained, images: Images, features: Images
) -> None:
    arguments: Any = (tmp_path / "served", stem, head, images, features)
    composed = compose.compose(*arguments, exact=True)
    assert composed.result["difference"] < 1e-5
    assert composed.result["input"] == [8, 8, 3]
    assert composed.result["parameters"] == stem.count_params() + head.model.count_params()
    assert composed.labels == head.labels
    again = compose.compose(*arguments, exact=True)  # read back, not made again
    five = images.images[:5].astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(again.model(five)), np.asarray(head.model(features.images[:5])), atol=1e-5
    )
    assert again.rows == []
    assert again.best_row == {}


def test_features_of_something_else_are_noticed(
    tmp_path: Path, stem: keras.Model, head: fit.Trained, images: Images, features: Images
) -> None:
    others = Images(features.images * 1.5, features.labels)
    with pytest.raises(PathsDisagreeError, match=r"differ by .* run again with --force"):
        compose.compose(tmp_path / "served", stem, head, images, others, exact=True)
    assert not (tmp_path / "served" / run_folder.RESULT).exists()
    rounded = compose.compose(tmp_path / "served", stem, head, images, others, exact=False)
    assert rounded.result["difference"] > 1e-4
