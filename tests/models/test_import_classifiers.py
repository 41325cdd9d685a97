"""Classifiers of images that other people made become versions that give what `model.predict` gives."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models.conftest import SIZE, images_in
from models.imports import NAME, imported, run

from keraserve_models.errors import ImportRejected, Undecided
from keraserve_models.importing import classifier, importer
from keraserve_models.importing.findings import ScaleUnknown
from keraserve_models.importing.request import ImportRequest, Overrides, Scale
from keraserve_models.repository import folders


def test_a_classifier_with_its_scaling_inside(saved: Any, models: Path) -> None:
    model = images_in(layers.Rescaling(1 / 255))
    done = imported(saved(model), models)
    assert (done.version, done.card["task"], done.card["scale"]) == (1, "images", "none")
    assert (done.card["independent_rows"], done.card["labels"]) == (True, ["0", "1", "2"])
    assert done.card["imported_from"]["file"] == "model.keras"
    assert done.card["explain"] == "class activation map, 10 x 14"
    assert len(done.card["imported_from"]["sha256"]) == 64
    assert any("numbers" in warning for warning in done.card["warnings"])
    pixels = np.random.default_rng(1).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
    ours = run(models, "serving_default", images=pixels)
    np.testing.assert_allclose(ours["probabilities"], model.predict(pixels, verbose=0), atol=1e-6)
    card = json.loads(run(models, "model_card")["json"])
    assert card == done.card == json.loads((models / NAME / "1" / folders.MODEL_CARD).read_text())


@pytest.mark.parametrize("scale", [Scale.UNIT, Scale.SYMMETRIC, Scale.CAFFE])
def test_a_scaling_that_only_its_user_knows(saved: Any, models: Path, scale: Scale) -> None:
    model = images_in()
    file = saved(model)
    with pytest.raises(Undecided, match=r"say --scale none\|0\.\.1\|-1\.\.1\|torch\|caffe"):
        imported(file, models)
    assert folders.names(models) == []
    assert not (models / NAME).exists()
    imported(file, models, overrides=Overrides(scale=scale))
    pixels = np.random.default_rng(1).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    wanted = {
        Scale.UNIT: pixels / 255,
        Scale.SYMMETRIC: pixels / 127.5 - 1,
        Scale.CAFFE: pixels[..., ::-1] - np.array([103.939, 116.779, 123.68]),
    }[scale]
    ours = run(models, "serving_default", images=pixels)["probabilities"]
    np.testing.assert_allclose(ours, model.predict(wanted.astype(np.float32), verbose=0), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_answers_under_each_scaling_are_those_of_the_model(
    saved: Any, models: Path, tmp_path: Path, channels: int
) -> None:
    model = images_in(channels=channels)
    pixels = np.random.default_rng(1).integers(0, 256, (*SIZE, channels), dtype=np.uint8)
    image = tmp_path / "image.png"
    image.write_bytes(tf.io.encode_png(pixels).numpy())
    with pytest.raises(ScaleUnknown) as unknown:
        imported(saved(model), models, images=[image])
    [trial] = unknown.value.trials
    colours = [Scale.TORCH, Scale.CAFFE] if channels == 3 else []
    assert list(trial.answers) == [Scale.NONE, Scale.UNIT, Scale.SYMMETRIC, *colours]
    for scale, answer in trial.answers.items():
        scaled = classifier.scaled_by_keras(pixels[None].astype(np.float32), scale)
        [wanted] = model.predict(scaled, verbose=0)
        assert answer.label == str(wanted.argmax())
        assert answer.probability == pytest.approx(wanted.max(), abs=1e-5)


def test_a_scaling_of_colours_is_not_for_grey_images(saved: Any, models: Path) -> None:
    for scale in (Scale.TORCH, Scale.CAFFE):
        with pytest.raises(ImportRejected, match=f"--scale {scale.value} is for images with 3 channels"):
            imported(saved(images_in(channels=1)), models, overrides=Overrides(scale=scale))


def test_an_image_to_compare_on_that_is_none(saved: Any, models: Path, tmp_path: Path) -> None:
    image = tmp_path / "cut.png"
    image.write_bytes(tf.io.encode_png(np.zeros((9, 9, 3), np.uint8)).numpy()[:40])
    for before in ([], [layers.Rescaling(1 / 255)]):
        with pytest.raises(ImportRejected, match=r"cut\.png can't be decoded: "):
            imported(saved(images_in(*before)), models, images=[image])
    image.write_text("no image")
    with pytest.raises(ImportRejected, match=r"can't be decoded: is not a JPEG, PNG, .* WebP image$"):
        imported(saved(images_in(layers.Rescaling(1 / 255))), models, images=[image])
    assert not (models / NAME).exists()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("units", "activation", "scores", "classes"),
    [
        (3, "softmax", None, 3),
        (1, "sigmoid", None, 2),
        (4, "sigmoid", None, 4),
        (3, None, "logits", 3),
        (1, None, "logits", 2),
    ],
)
def test_every_last_layer(
    saved: Any, models: Path, channels: int, units: int, activation: str | None, scores: Any, classes: int
) -> None:
    model = images_in(layers.Rescaling(1 / 255), channels=channels, units=units, activation=activation)
    done = imported(saved(model), models, overrides=Overrides(scores=scores))
    assert len(done.card["labels"]) == classes
    pixels = np.random.default_rng(1).integers(0, 256, (2, *SIZE, channels), dtype=np.uint8)
    values = model.predict(pixels, verbose=0)
    if scores == "logits":
        values = tf.sigmoid(values).numpy() if units == 1 else tf.nn.softmax(values).numpy()
    wanted = np.concatenate([1 - values, values], axis=1) if units == 1 else values
    ours = run(models, "serving_default", images=pixels)
    np.testing.assert_allclose(ours["probabilities"], wanted, atol=1e-6)
    assert [label.decode() for label in ours["label"]] == [str(best) for best in wanted.argmax(axis=1)]


def test_logits_of_classes_or_values_have_to_be_told_apart(saved: Any, models: Path) -> None:
    model = images_in(layers.Rescaling(1 / 255), activation=None)
    with pytest.raises(Undecided, match=r"--scores logits\), or values \(--task tensors\)"):
        imported(saved(model), models)
    assert imported(saved(model), models, overrides=Overrides(task="tensors")).card["task"] == "tensors"


def test_one_value_of_an_image_is_a_regressor(saved: Any, models: Path) -> None:
    model = images_in(layers.Rescaling(1 / 255), units=1, activation=None)
    assert imported(saved(model), models).card["task"] == "tensors"


def test_channels_first(saved: Any, models: Path) -> None:
    inputs = keras.Input((3, *SIZE))
    values = layers.Permute((2, 3, 1))(inputs)
    values = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(values)))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(values))
    done = imported(saved(model), models)
    assert done.card["input"]["channels"] == 3
    pixels = np.random.default_rng(1).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    ours = run(models, "serving_default", images=pixels)["probabilities"]
    np.testing.assert_allclose(ours, model.predict(np.moveaxis(pixels, -1, 1), verbose=0), atol=1e-6)


def test_images_of_any_size_need_one(saved: Any, models: Path) -> None:
    inputs = keras.Input((None, None, 3))
    values = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(inputs)))
    file = saved(keras.Model(inputs, layers.Dense(3, activation="softmax")(values)))
    with pytest.raises(Undecided, match="--size 224x224"):
        imported(file, models)
    assert imported(file, models, overrides=Overrides(size=(20, 30))).card["input"]["height"] == 20


def test_labels(saved: Any, models: Path, tmp_path: Path) -> None:
    file, labels = saved(images_in(layers.Rescaling(1 / 255))), tmp_path / "labels.txt"
    labels.write_text("rose\ntulip\n")
    with pytest.raises(ImportRejected, match=r"labels\.txt has 2 classes, and the model gives 3"):
        imported(file, models, labels=labels)
    labels.write_text("rose\ntulip\nrose\n")
    with pytest.raises(ImportRejected, match="the class 'rose' twice"):
        imported(file, models, labels=labels)
    labels.write_text("rose\ntulip\ngrün\n")
    done = imported(file, models, labels=labels)
    assert (done.card["labels"], done.card["warnings"]) == (["rose", "tulip", "grün"], [])
    assert (models / NAME / "1" / folders.LABELS).read_text() == "rose\ntulip\ngrün\n"


def test_what_it_finds_is_told(saved: Any, models: Path) -> None:
    said: list[str] = []
    file = saved(images_in(layers.Rescaling(1 / 255)))
    importer.import_model(ImportRequest(file, NAME, models), said.append)
    assert said[0].startswith(f"{file}: Keras file (.keras) of Keras 3")
    assert said[1:4] == [
        "images of 12 x 16 pixels, 3 channels: the shape of its input",
        f"softmax, 3 outputs: the activation of its last layer, {said[2].rpartition(' ')[2]}",
        "scale none: its own layers turn 0 to 255 into 0 to 1",
    ]
