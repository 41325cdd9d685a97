"""Programs in a model, what is no model, and what has no effect are rejected, and nothing is published."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models.conftest import Doubled, images_in
from models.imports import NAME, imported, run

from keraserve_models.errors import ImportRejected, NotEqual, NotTrusted, RepositoryError
from keraserve_models.exporting.served import served
from keraserve_models.importing import written
from keraserve_models.importing.importer import import_model
from keraserve_models.importing.request import ImportRequest, Overrides, Scale
from keraserve_models.repository import folders
from keraserve_protocol import differences


def test_what_has_no_effect_is_rejected(tmp_path: Path, saved: Any, models: Path) -> None:
    images_in().export(tmp_path / "exported", verbose=False)
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")
    numbers = saved(keras.Sequential([keras.Input((3,)), layers.Dense(3)]))
    for path in (tmp_path / "exported", numbers):
        for option, how in (
            ("--scale", {"overrides": Overrides(scale=Scale.UNIT)}),
            ("--scores", {"overrides": Overrides(scores="softmax")}),
            ("--size", {"overrides": Overrides(size=(8, 8))}),
            ("--labels", {"labels": labels}),
            ("--try", {"images": [labels]}),
        ):
            with pytest.raises(ImportRejected, match=f"served as tensors, for which {option} has no effect"):
                imported(path, models, **how)
    assert not (models / NAME).exists()


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_programs_of_a_file_are_not_run(saved: Any, models: Path, tmp_path: Path, suffix: str) -> None:
    ran = tmp_path / "ran"
    name = str(ran)
    trap = layers.Lambda(lambda values: (Path(name).touch(), values)[1])
    file = saved(keras.Sequential([keras.Input((3,)), trap]), f"trap.{suffix}")
    ran.unlink(missing_ok=True)
    with pytest.raises(NotTrusted, match=r"holds programs .*the Lambda layer 'lambda.*--trust"):
        imported(file, models)
    assert not ran.exists()
    assert not (models / NAME).exists()


def test_a_class_of_a_script_needs_trust(saved: Any, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Doubled, "__module__", "__main__")
    file = saved(keras.Sequential([keras.Input((3,)), Doubled()]))
    with pytest.raises(NotTrusted, match="the custom class Doubled"):
        imported(file, models)


def test_a_custom_class_in_an_hdf5_file_names_the_options(saved: Any, models: Path) -> None:
    file = saved(keras.Sequential([keras.Input((3,)), Doubled()]), "custom.h5")
    with pytest.raises(ImportRejected, match=r"Doubled.*--trust --code FILE\.py"):
        imported(file, models)
    assert not (models / NAME).exists()


@pytest.mark.parametrize("what", ["lambda", "class"])
def test_programs_need_trust(saved: Any, models: Path, tmp_path: Path, what: str) -> None:
    doubled = layers.Lambda(lambda values: 2 * values) if what == "lambda" else Doubled()
    file = saved(keras.Sequential([keras.Input((3,)), doubled]))
    with pytest.raises(
        NotTrusted, match="the Lambda layer" if what == "lambda" else "the custom class Doubled"
    ):
        imported(file, models)
    assert not (models / NAME).exists()
    if what == "class":
        code = tmp_path / "code.py"
        code.write_text(
            "import keras\n\nclass Doubled(keras.Model):\n    def call(self, x):\n        return 2.0 * x\n"
        )
    imported(file, models, trusted=True, code=code if what == "class" else None)
    [values] = run(models, "serving_default", **{_input(models): np.ones((1, 3), np.float32)}).values()
    assert values.tolist() == [[2.0, 2.0, 2.0]]


def _input(models: Path) -> str:
    with served(models / NAME / "1") as version:
        [name] = version.inputs("serving_default")
    return name


def test_what_no_server_can_do(saved: Any, models: Path) -> None:
    steps = keras.Input(batch_shape=(1, 4, 3))
    stateful = keras.Model(steps, layers.LSTM(4, stateful=True, name="memory")(steps))
    words = layers.TextVectorization(20, ragged=True)
    words.adapt(["the quick fox"])
    ragged = keras.Sequential([keras.Input((1,), dtype="string"), words])
    for model, says in (
        (stateful, "its layer memory keeps its state"),
        (ragged, "is a RaggedTensor, which no"),
    ):
        with pytest.raises(ImportRejected, match=says):
            imported(saved(model), models)
    assert not (models / NAME).exists()


def test_options_that_contradict_the_model(saved: Any, models: Path, tmp_path: Path) -> None:
    linear = images_in(layers.Rescaling(1 / 255), activation=None)
    linear.layers[-1].bias.assign([5.0, 1.0, -5.0])
    softmax = images_in(layers.Rescaling(1 / 255))
    size, code = Overrides(size=(8, 8)), tmp_path / "code.py"
    for model, how, says in (
        (linear, {"overrides": Overrides(scores="softmax")}, r"no probabilities \(softmax\)"),
        (linear, {"overrides": Overrides(scores="multi-label")}, r"no probabilities \(multi-label\)"),
        (
            linear,
            {"overrides": Overrides(scores="sigmoid")},
            "--scores sigmoid is for one output, and it has 3",
        ),
        (softmax, {"overrides": Overrides(scores="logits")}, "probabilities already"),
        (softmax, {"overrides": size}, "--size has no effect: it takes images of 12 x 16 pixels"),
        (softmax, {"code": code}, "--code has an effect with --trust only"),
    ):
        with pytest.raises(ImportRejected, match=says):
            imported(saved(model), models, **how)
    assert not (models / NAME).exists()


def test_images_that_are_too_small_for_the_network(saved: Any, models: Path) -> None:
    inputs = keras.Input((None, None, 3))
    values = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(inputs)))
    file = saved(keras.Model(inputs, layers.Dense(3, activation="softmax")(values)))
    with pytest.raises(ImportRejected, match="can't be run on images of 1 x 1 pixels: say another --size"):
        imported(file, models, overrides=Overrides(size=(1, 1)))


def test_differences_of_whole_and_complex_numbers_are_seen() -> None:
    for ours, theirs in ((10_000, 10_001), (2**60, 2**60 + 1), (1 + 2j, 1 + 3j)):
        assert differences.largest({"x": np.array([ours])}, {"x": np.array([theirs])}) > differences.TOLERANCE
    assert differences.largest({"x": np.array([1 + 2j])}, {"x": np.array([1 + 2j])}) == 0.0


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "model.pt"])
def test_pickles_are_never_opened(tmp_path: Path, models: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n")
    with pytest.raises(ImportRejected, match=r"is a pickle, .* model\.save\('model\.keras'\)"):
        imported(tmp_path / name, models, trusted=True)


def test_what_is_no_model(tmp_path: Path, models: Path, saved: Any) -> None:
    weights = tmp_path / "only.weights.h5"
    images_in().save_weights(weights)
    (tmp_path / "model.onnx").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    half = saved(images_in())
    half.write_bytes(half.read_bytes()[:-100])
    for path, says in (
        (weights, "weights without a model"),
        (tmp_path / "model.onnx", "an ONNX file"),
        (tmp_path / "empty", "has no saved_model.pb"),
        (half, "is no Keras file"),
        (tmp_path / "nowhere.keras", "there is no file or folder"),
    ):
        with pytest.raises(ImportRejected, match=says):
            imported(path, models)
    assert folders.names(models) == []


def test_a_version_that_differs_is_not_published(
    saved: Any, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(images_in(layers.Rescaling(1 / 255)))
    monkeypatch.setattr(written.classifier, "probabilities", lambda values, _: values * 0.999)
    monkeypatch.setattr(written.classifier, "scaled_by_keras", lambda pixels, _: pixels + 50)
    with pytest.raises(
        NotEqual, match=r"gives other results .* Nothing was published; --any-difference does it"
    ):
        imported(file, models)
    assert not (models / NAME).exists()
    done = imported(file, models, any_difference=True)
    assert done.card["largest_difference"] > differences.TOLERANCE


def test_names_and_origins(saved: Any, models: Path) -> None:
    file = saved(images_in(layers.Rescaling(1 / 255)))
    with pytest.raises(RepositoryError, match="can't be a model's name"):
        import_model(ImportRequest(file, "No Name", models))
    imported(file, models)
    assert imported(file, models).version == 2
    (models / NAME / "2" / folders.MODEL_CARD).write_text('{"run": "1"}')
    with pytest.raises(ImportRejected, match=r"was trained here, and .* choose another --name"):
        imported(file, models)


def test_a_full_disk(saved: Any, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(*_: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "saved_model.pb; No space left on device")

    monkeypatch.setattr(written.signatures, "save", save)
    with pytest.raises(RepositoryError, match=r"can't be written: saved_model\.pb; No space left on device"):
        imported(saved(images_in(layers.Rescaling(1 / 255))), models)
    assert not (models / NAME).exists()
