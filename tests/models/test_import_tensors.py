"""Models of other inputs than images, and other files than `.keras`, become versions of tensors."""

import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models.conftest import images_in
from models.imports import NAME, imported, run

from keraserve_models.exporting.served import served


def test_text_in(saved: Any, models: Path, text_model: keras.Model) -> None:
    done = imported(saved(text_model), models)
    assert (done.card["task"], done.card["independent_rows"]) == ("tensors", True)
    words = np.array([[b"the quick dog"], [b"unknown"]], object)
    [ours] = run(models, "serving_default", text=words).values()
    np.testing.assert_allclose(ours, text_model.predict(tf.constant(words), verbose=0), atol=1e-6)


def test_several_inputs_and_outputs_under_their_names(
    saved: Any, models: Path, two_inputs: keras.Model
) -> None:
    imported(saved(two_inputs), models)
    size, count = np.ones((3, 4), np.float32), np.arange(6, dtype=np.int32).reshape(3, 2)
    ours = run(models, "serving_default", count=count, size=size)
    wanted = dict(zip("ab", two_inputs.predict([size, count], verbose=0), strict=True))
    assert ours.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(ours[name], values, atol=1e-6)


def test_the_card_has_an_example_of_a_request(
    saved: Any, models: Path, text_model: keras.Model, two_inputs: keras.Model
) -> None:
    for model in (text_model, two_inputs):
        done = imported(saved(model), models)
        example = done.card["example"]
        assert len(json.dumps(example)) <= 4096
        with served(models / NAME / str(done.version)) as version:
            specs = version.inputs(example["signature_name"])
            assert example["inputs"].keys() == specs.keys()
            given = {
                name: np.array(example["inputs"][name], object if spec.dtype == tf.string else None)
                for name, spec in specs.items()
            }
            assert version.run(example["signature_name"], given)
    assert re.search(r"0\.\d{1,3}\b(?!\d)", json.dumps(example))  # numbers that a person can read


def test_a_large_example_is_left_out(saved: Any, models: Path) -> None:
    model = keras.Sequential([keras.Input((40, 40)), layers.Flatten(), layers.Dense(1)])
    assert "example" not in imported(saved(model), models).card


def test_rows_that_depend_on_each_other_are_noticed(saved: Any, models: Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, inputs - keras.ops.mean(inputs, axis=0, keepdims=True))
    assert imported(saved(model), models).card["independent_rows"] is False


def test_dicts_keep_their_keys(saved: Any, models: Path) -> None:
    first, second = keras.Input((3,), name="first"), keras.Input((3,), name="second")
    shared = layers.Dense(2)
    with pytest.warns(UserWarning, match="all keys in the dict must match"):
        model = keras.Model({"b-1": first, "a 1": second}, {"y": shared(first), "x": shared(second)})
    imported(saved(model), models)
    ones, twos = np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)
    wanted = model.predict({"b-1": ones, "a 1": twos}, verbose=0)
    ours = run(models, "serving_default", b_1=ones, a_1=twos)
    assert ours.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_allclose(ours[name], values, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "served_as"),
    [("self", "input_self"), ("my-input", "my_input"), ("größe", "gr__e"), ("1a", "input_1a")],
)
def test_names_that_no_signature_takes(saved: Any, models: Path, name: str, served_as: str) -> None:
    model = keras.Sequential([keras.Input((3,), name=name), layers.Dense(2, name="out")])
    imported(saved(model), models)
    ones = np.ones((2, 3), np.float32)
    ours = run(models, "serving_default", **{served_as: ones})
    np.testing.assert_allclose(ours["out"], model.predict(ones, verbose=0), atol=1e-6)


def test_a_network_for_large_images_only(saved: Any, models: Path) -> None:
    inputs = keras.Input((None, None, 3))
    values = inputs
    for _ in range(5):
        values = layers.MaxPooling2D()(values)
    done = imported(saved(keras.Model(inputs, layers.UpSampling2D(32)(values))), models)
    assert (done.card["task"], done.card["largest_difference"]) == ("tensors", 0.0)


def _own_loss(true: Any, found: Any) -> Any:
    return keras.ops.mean(true - found)


def test_loss_and_metrics_of_ones_own_are_not_loaded(saved: Any, models: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.compile("adam", loss=_own_loss)
    imported(saved(model), models)


def test_an_hdf5_file(saved: Any, models: Path) -> None:
    done = imported(saved(images_in(layers.Rescaling(1 / 255)), "old.h5"), models)
    assert done.card["imported_from"]["form"] == "HDF5 file (.h5)"
