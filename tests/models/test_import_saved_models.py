"""A SavedModel of somebody else stays as it is, or becomes an image classifier."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from models.conftest import SIZE, Doubled, images_in
from models.imports import NAME, imported, run

from keraserve_models.errors import ImportRejected, Undecided
from keraserve_models.exporting import warm_up
from keraserve_models.exporting.served import served
from keraserve_models.importing.findings import ScaleUnknown
from keraserve_models.importing.request import Overrides, Scale


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


def test_tags_that_no_server_loads(tmp_path: Path, models: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": 2 * x})
        builder = v1.saved_model.Builder(str(tmp_path / "untagged"))
        builder.add_meta_graph_and_variables(session, [], signature_def_map={"serving_default": signature})
        builder.save()
    with pytest.raises(ImportRejected, match="no graph with the one tag 'serve'"):
        imported(tmp_path / "untagged", models)


def test_a_graph_as_text_is_served_too(tmp_path: Path, models: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3])
        signature = v1.saved_model.predict_signature_def({"x": x}, {"y": 2 * x})
        builder = v1.saved_model.Builder(str(tmp_path / "text"))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save(as_text=True)
    assert imported(tmp_path / "text", models).compared.equal
    assert run(models, "serving_default", x=np.ones((1, 3), np.float32))["y"].tolist() == [[2.0] * 3]


class Counter(tf.Module):
    """Adds up how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.count = tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def add(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"sum": x + self.count.assign_add(1.0)}


def test_a_state_that_callers_would_share_is_rejected(tmp_path: Path, models: Path) -> None:
    module = Counter()
    tf.saved_model.save(module, str(tmp_path / "counter"), signatures=module.add)
    with pytest.raises(ImportRejected, match="another result when the same request comes again"):
        imported(tmp_path / "counter", models)
    assert not (models / NAME).exists()
    done = imported(tmp_path / "counter", models, any_difference=True)
    assert any("which all callers share" in warning for warning in done.card["warnings"])


def test_a_model_that_could_not_be_compared_says_so(tmp_path: Path, models: Path) -> None:
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def shape(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"size": tf.map_fn(lambda each: tf.shape(tf.io.decode_png(each)), image, tf.int32)}

    tf.saved_model.save(module, str(tmp_path / "sizes"), signatures=shape.get_concrete_function())
    done = imported(tmp_path / "sizes", models)
    assert done.card["warnings"] == ["Nothing was compared: the model rejects generated values."]


def test_a_function_without_inputs(tmp_path: Path, models: Path) -> None:
    module = tf.Module()
    function = tf.function(lambda: {"one": tf.constant(1.0)}, input_signature=[])
    tf.saved_model.save(module, str(tmp_path / "constant"), signatures=function.get_concrete_function())
    assert imported(tmp_path / "constant", models).card["independent_rows"] is False


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
