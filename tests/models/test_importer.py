"""Models of other people become versions that give what `model.predict` gives, or nothing is published."""

import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from models.conftest import SIZE, Doubled, images_in

from keraserve_models.errors import ImportRejected, NotEqual, NotTrusted, RepositoryError, Undecided
from keraserve_models.exporting import warm_up
from keraserve_models.importing import classifier, comparison, importer, written
from keraserve_models.importing.findings import ScaleUnknown
from keraserve_models.importing.importer import Imported, import_model
from keraserve_models.importing.request import ImportRequest, Overrides, Scale
from keraserve_models.importing.served import served
from keraserve_models.repository import folders

NAME = "flowers"


def imported(path: Path, models: Path, **how: Any) -> Imported:
    return import_model(ImportRequest(path, NAME, models, **how))


def run(models: Path, signature: str, **inputs: Any) -> dict[str, Any]:
    with served(models / NAME / "1") as version:
        return version.run(signature, inputs)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_a_classifier_with_its_scaling_inside(saved: Any, models: Path) -> None:
    model = images_in(layers.Rescaling(1 / 255))
    done = imported(saved(model), models)
    assert (done.version, done.card["task"], done.card["scale"]) == (1, "images", "none")
    assert (done.card["independent_rows"], done.card["labels"]) == (True, ["0", "1", "2"])
    assert done.card["imported_from"]["file"] == "model.keras"
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


def test_an_hdf5_file(saved: Any, models: Path) -> None:
    done = imported(saved(images_in(layers.Rescaling(1 / 255)), "old.h5"), models)
    assert done.card["imported_from"]["form"] == "HDF5 file (.h5)"


def test_a_saved_model_stays_as_it_is(tmp_path: Path, models: Path) -> None:
    model = Doubled()
    model(np.zeros((1, 3), np.float32))
    model.export(tmp_path / "exported", verbose=False)
    done = imported(tmp_path / "exported", models)
    assert done.card["task"] == "tensors"
    there = models / NAME / "1"
    for file in ("saved_model.pb", "variables/variables.index"):
        assert (there / file).read_bytes() == (tmp_path / "exported" / file).read_bytes()
    with served(there) as version:
        [name] = version.inputs("serving_default")
        [values] = version.run("serving_default", {name: np.ones((2, 3), np.float32)}).values()
    assert values.tolist() == [[2.0] * 3] * 2


@pytest.mark.parametrize(
    ("channels", "activation", "units", "scores"), [(3, "softmax", 3, "softmax"), (1, None, 1, "logits")]
)
def test_a_saved_model_as_an_image_classifier(
    tmp_path: Path, models: Path, channels: int, activation: str | None, units: int, scores: Any
) -> None:
    model = images_in(channels=channels, units=units, activation=activation)
    model.export(tmp_path / "exported", verbose=False)
    done = imported(tmp_path / "exported", models, overrides=Overrides("images", Scale.UNIT, scores))
    assert (done.card["task"], done.card["scale"]) == ("images", "0..1")
    assert done.card["input"]["height"] == SIZE[0]
    assert done.compared.largest < 1e-6
    pixels = np.random.default_rng(1).integers(0, 256, (2, *SIZE, channels), dtype=np.uint8)
    values = model.predict(pixels / 255, verbose=0)
    wanted = np.concatenate([1 - 1 / (1 + np.exp(-values)), 1 / (1 + np.exp(-values))], axis=1)
    wanted = values if units == 3 else wanted
    encoded = np.array([tf.io.encode_png(each).numpy() for each in pixels], object)
    for signature, inputs in (
        ("serving_default", {"images": pixels}),
        ("image_bytes", {"image_bytes": encoded}),
        ("classify", {"inputs": np.array([warm_up.example(each) for each in encoded], object)}),
    ):
        found = run(models, signature, **inputs)
        name = "scores" if signature == "classify" else "probabilities"
        np.testing.assert_allclose(found[name], wanted, atol=1e-5)
    assert json.loads(run(models, "model_card")["json"]) == done.card


def test_what_a_saved_model_does_not_tell(tmp_path: Path, models: Path) -> None:
    exported, image = tmp_path / "exported", tmp_path / "image.png"
    images_in().export(exported, verbose=False)
    image.write_bytes(tf.io.encode_png(np.zeros((9, 9, 3), np.uint8)).numpy())
    with pytest.raises(Undecided, match=r"say --scores softmax\|sigmoid\|multi-label\|logits"):
        imported(exported, models, overrides=Overrides("images", Scale.UNIT))
    with pytest.raises(ScaleUnknown, match="the layers of a SavedModel are not known") as unknown:
        imported(exported, models, overrides=Overrides("images", scores="softmax"), images=[image])
    assert len(unknown.value.trials[0].answers) == len(Scale)
    assert not (models / NAME).exists()


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


def test_a_saved_model_of_tensorflow_1(tmp_path: Path, models: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        taken = v1.placeholder(tf.float32, [None, 2])
        weights = tf.Variable([[1.0], [10.0]], use_resource=False)
        signature = v1.saved_model.predict_signature_def({"x": taken}, {"y": tf.matmul(taken, weights)})
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(tmp_path / "old"))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    assert imported(tmp_path / "old", models).compared.equal
    assert run(models, "serving_default", x=np.array([[1, 2]], np.float32))["y"].tolist() == [[21.0]]


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
    assert done.card["largest_difference"] > comparison.TOLERANCE


def test_names_and_origins(saved: Any, models: Path) -> None:
    file = saved(images_in(layers.Rescaling(1 / 255)))
    with pytest.raises(RepositoryError, match="can't be a model's name"):
        import_model(ImportRequest(file, "No Name", models))
    imported(file, models)
    assert imported(file, models).version == 2
    (models / NAME / "2" / folders.MODEL_CARD).write_text('{"run": "1"}')
    with pytest.raises(ImportRejected, match=r"was trained here, and .* choose another --name"):
        imported(file, models)


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
