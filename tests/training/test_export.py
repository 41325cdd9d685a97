"""The exported model against the contract, loaded as a server loads it: without Keras."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from training.exporter_to_kill import write_plain

from keraserve_models.errors import RepositoryError
from keraserve_models.preprocessing import decoding
from keraserve_models.repository import folders
from keraserve_protocol import messages, model_config
from keraserve_protocol.tensors import from_proto
from keraserve_training import experiment
from keraserve_training.data import procedural
from keraserve_training.errors import RunMissingError
from keraserve_training.exporting import export, model_card
from keraserve_training.learning import fit, rules
from keraserve_training.records.run_folder import FinishedRun

pytestmark = pytest.mark.usefixtures("tensorflow")
A, B = "fashion-mnist-reuse-a-sample", "fashion-mnist-reuse-b-sample"
NETWORK = {A: "model-a", B: "model-b-on-a"}
Call = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def served(models: Path) -> dict[str, Any]:
    return {name: tf.saved_model.load(str(models / name / "1")) for name in (A, B)}


@pytest.fixture(scope="module")
def by_bytes(served: dict[str, Any]) -> Call:
    return served[A].signatures["image_bytes"]


def gray(count: int, size: tuple[int, int] = (28, 28)) -> np.ndarray[Any, Any]:
    return procedural.images(count, classes=8, size=size, channels=1, seed=9).images


def encoded(image: np.ndarray[Any, Any], kind: str = "PNG", mode: str | None = None) -> bytes:
    content = io.BytesIO()
    drawn = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    options = {"lossless": True} if kind == "WEBP" else {}
    (drawn.convert(mode) if mode else drawn).save(content, kind, **options)
    return content.getvalue()


def example(content: bytes, key: str = "image/encoded") -> bytes:
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))
    return tf.train.Example(features=tf.train.Features(feature={key: feature})).SerializeToString()


def test_three_signatures_with_exactly_these_inputs_and_outputs(served: dict[str, Any]) -> None:
    for name, classes in ((A, 8), (B, 2)):
        signatures = served[name].signatures
        assert set(signatures) == {"serving_default", "image_bytes", "classify", "model_card"}
        card = json.loads(signatures["model_card"]()["json"].numpy())
        assert card["explain"] == "none: it has no convolutional layer"
        wanted = {
            "serving_default": ("images", tf.uint8, [None] * 4),
            "image_bytes": ("image_bytes", tf.string, [None]),
            "classify": ("inputs", tf.string, [None]),
        }
        for signature, (key, dtype, shape) in wanted.items():
            ((_, inputs), given) = signatures[signature].structured_input_signature, signatures[signature]
            assert list(inputs) == [key]
            assert (inputs[key].dtype, inputs[key].shape.as_list()) == (dtype, shape)
            scores, labels = ("scores", "classes") if signature == "classify" else ("probabilities", "label")
            assert set(given.structured_outputs) == {scores, labels}
            assert given.structured_outputs[scores].shape.as_list() == [None, classes]
            assert given.structured_outputs[scores].dtype == tf.float32
            assert given.structured_outputs[labels].dtype == tf.string


def test_normalizations_become_part_of_the_convolutions_before_them(
    tmp_path: Path, runs: Path, reuse: experiment.Experiment, finished: FinishedRun
) -> None:
    copied = tmp_path / "runs"
    shutil.copytree(runs, copied)
    folder = copied / finished.folder.relative_to(runs) / NETWORK[A]
    layers = keras.layers
    inputs = keras.Input((28, 28, 1))
    values = layers.Conv2D(4, 3, use_bias=False)(layers.Rescaling(1 / 255)(inputs))
    normalized = layers.BatchNormalization()
    scores = layers.Dense(8, "softmax")(layers.Flatten()(normalized(values)))
    generator = np.random.default_rng(0)
    normalized.set_weights([generator.uniform(0.5, 1.5, 4) for _ in normalized.get_weights()])
    model = keras.Model(inputs, scores)
    model.save(folder / fit.MODEL)
    result = json.loads((folder / fit.RESULT).read_text())
    (folder / fit.RESULT).write_text(json.dumps({**result, "digest": rules.digest(model.weights)}))
    export.export([reuse], runs=copied, models=tmp_path / "models", profile="sample")
    loaded = tf.saved_model.load(str(tmp_path / "models" / A / "1"))
    assert len(loaded.state) == 4  # kernel and bias of two layers
    images = gray(3)
    wanted = fit.load(folder).probabilities(model(images.astype(np.float32)))
    found = loaded.signatures["serving_default"](images=tf.constant(images))["probabilities"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_method_names_are_what_tensorflow_serving_requires(models: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    content = (models / A / "1" / "saved_model.pb").read_bytes()
    (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    methods = {name: signature.method_name for name, signature in graph.signature_def.items()}
    assert methods["classify"] == "tensorflow/serving/classify"
    assert methods["serving_default"] == methods["image_bytes"] == "tensorflow/serving/predict"


def test_the_fingerprint_is_that_of_the_file(models: Path) -> None:
    from tensorflow.core.protobuf import fingerprint_pb2
    from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

    folder = models / A / "1"
    kept = fingerprint_pb2.FingerprintDef.FromString((folder / "fingerprint.pb").read_bytes())
    again = fingerprint_pb2.FingerprintDef.FromString(fingerprinting.CreateFingerprintDef(str(folder)))
    assert kept.saved_model_checksum == again.saved_model_checksum
    assert kept.signature_def_hash == again.signature_def_hash


def test_nothing_in_it_names_this_machine(models: Path) -> None:
    for file in (models / A / "1").rglob("*"):
        if file.is_file():
            assert str(Path(fit.__file__).parent).encode() not in file.read_bytes(), file
            assert str(models).encode() not in file.read_bytes(), file


@pytest.mark.parametrize("name", [A, B])
def test_pixels_png_example_and_keras_agree(name: str, served: dict[str, Any], finished: FinishedRun) -> None:
    trained = fit.load(finished.folder / NETWORK[name])
    images = gray(6)
    wanted = np.asarray(trained.probabilities(trained.model(images.astype(np.float32))))
    contents = [encoded(image) for image in images]
    signatures = served[name].signatures
    by_pixels = signatures["serving_default"](images=tf.constant(images))
    by_png = signatures["image_bytes"](image_bytes=tf.constant(contents))
    classified = signatures["classify"](inputs=tf.constant([example(content) for content in contents]))
    np.testing.assert_allclose(by_pixels["probabilities"], wanted, atol=1e-5)
    np.testing.assert_allclose(by_png["probabilities"], wanted, atol=1e-5)
    np.testing.assert_allclose(classified["scores"], wanted, atol=1e-5)
    np.testing.assert_allclose(wanted.sum(axis=-1), 1, atol=1e-5)
    labels = [trained.labels[place].encode() for place in wanted.argmax(axis=-1)]
    assert by_pixels["label"].numpy().tolist() == by_png["label"].numpy().tolist() == labels
    assert classified["classes"].numpy().tolist() == [[label.encode() for label in trained.labels]] * 6


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("PNG", "RGB"),
        ("PNG", "RGBA"),
        ("PNG", "LA"),
        ("PNG", "P"),
        ("GIF", None),
        ("GIF", "RGB"),
        ("BMP", None),
        ("BMP", "RGB"),
        ("BMP", "RGBA"),
        ("WEBP", None),
    ],
)
def test_every_lossless_form_of_a_grey_image_gives_the_same(
    by_bytes: Call, kind: str, mode: str | None
) -> None:
    (image,) = gray(1)
    plain = by_bytes(image_bytes=tf.constant([encoded(image)]))["probabilities"]
    other = by_bytes(image_bytes=tf.constant([encoded(image, kind, mode)]))["probabilities"]
    np.testing.assert_allclose(other, plain, atol=1e-5)


@pytest.mark.parametrize("mode", [None, "RGB", "CMYK"])
def test_jpeg_gives_nearly_the_same(by_bytes: Call, mode: str | None) -> None:
    flat = np.full((28, 28, 1), 90, np.uint8)  # lossless by luck: nothing to lose
    plain = by_bytes(image_bytes=tf.constant([encoded(flat)]))["probabilities"]
    other = by_bytes(image_bytes=tf.constant([encoded(flat, "JPEG", mode)]))["probabilities"]
    np.testing.assert_allclose(other, plain, atol=0.02)


def test_only_the_first_frame_of_an_animation_counts(by_bytes: Call) -> None:
    first, second = (Image.fromarray(image.squeeze()) for image in gray(2))
    content = io.BytesIO()
    first.save(content, "GIF", save_all=True, append_images=[second])
    moving = by_bytes(image_bytes=tf.constant([content.getvalue()]))["probabilities"]
    still = by_bytes(image_bytes=tf.constant([encoded(gray(2)[0])]))["probabilities"]
    np.testing.assert_allclose(moving, still, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_of_any_size_and_channels(served: dict[str, Any], channels: int) -> None:
    call = served[A].signatures["serving_default"]
    image = gray(2, (61, 40))
    alpha = np.full_like(image, 255)
    layers = {1: [image], 2: [image, alpha], 3: [image] * 3, 4: [image, image, image, alpha]}[channels]
    plain = call(images=tf.constant(image))["probabilities"]
    np.testing.assert_allclose(
        call(images=tf.constant(np.concatenate(layers, axis=-1)))["probabilities"], plain, atol=1e-5
    )


def test_images_of_different_sizes_in_one_batch(by_bytes: Call) -> None:
    sizes = (28, 28), (5, 300), (400, 401), (1, 1)
    contents = [encoded(gray(1, size)[0]) for size in sizes]
    together = by_bytes(image_bytes=tf.constant(contents))["probabilities"].numpy()
    for place, content in enumerate(contents):
        alone = by_bytes(image_bytes=tf.constant([content]))["probabilities"].numpy()[0]
        np.testing.assert_allclose(together[place], alone, atol=1e-6)


def test_a_colour_network_takes_grey_and_transparent_images() -> None:
    prepare = decoding.Preparation((4, 4), 3)
    colours = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 4), dtype=np.uint8)
    colours[..., 3] = 255
    np.testing.assert_array_equal(prepare(tf.constant(colours)), colours[..., :3].astype(np.float32))
    grey = prepare(tf.constant(colours[..., :1])).numpy()
    np.testing.assert_array_equal(grey, np.repeat(colours[..., :1], 3, axis=-1))


def test_colours_become_grey_as_pil_does_it() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    ours = decoding.Preparation((4, 4), 1)(tf.constant(colours)).numpy()
    np.testing.assert_allclose(ours.squeeze(), np.asarray(Image.fromarray(colours).convert("L")), atol=1)


def test_an_empty_batch_gives_an_empty_response(served: dict[str, Any]) -> None:
    signatures = served[B].signatures
    none = tf.constant([], tf.string)
    assert signatures["image_bytes"](image_bytes=none)["probabilities"].shape == (0, 2)
    assert signatures["classify"](inputs=none)["classes"].shape == (0, 2)
    pixels = tf.zeros((0, 28, 28, 1), tf.uint8)
    assert signatures["serving_default"](images=pixels)["label"].shape == (0,)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"", r"image_bytes\[1\] is empty"),
        (b"hello world", r"image_bytes\[1\] is not a JPEG, PNG, GIF, BMP or WebP image"),
        (b"\x89PNG", r"image_bytes\[1\] is not a JPEG"),
        (b"RIFF0000WAVEVP8 ", r"image_bytes\[1\] is not a JPEG"),
        (b"RIFF0000WEBPVP8 ", r"image_bytes\[1\] has 0x0 = 0 pixels"),
        (b"\x89PNG\r\n\x1a\n and no more", r"image_bytes\[1\] is damaged"),
        (b"GIF89a", r"image_bytes\[1\] is damaged"),
    ],
)
def test_what_cannot_be_decoded_is_an_invalid_argument(by_bytes: Call, bad: bytes, message: str) -> None:
    good = encoded(gray(1)[0])
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        by_bytes(image_bytes=tf.constant([good, bad, good]))
    assert by_bytes(image_bytes=tf.constant([good]))["label"].shape == (1,)


def test_a_truncated_image_is_an_invalid_argument(by_bytes: Call) -> None:
    for kind in ("PNG", "JPEG", "BMP"):
        whole = encoded(gray(1, (60, 60))[0], kind)
        with pytest.raises(tf.errors.InvalidArgumentError):
            by_bytes(image_bytes=tf.constant([whole[: len(whole) // 2]]))


def test_an_example_without_an_image_is_named(served: dict[str, Any]) -> None:
    call = served[A].signatures["classify"]
    good, other = example(encoded(gray(1)[0])), example(b"x", key="image/other")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image/encoded\[2\] is empty"):
        call(inputs=tf.constant([good, good, other]))


def test_arrays_with_five_channels_are_rejected(served: dict[str, Any]) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="5 channels"):
        served[A].signatures["serving_default"](images=tf.zeros((1, 8, 8, 5), tf.uint8))


def test_labels_and_card_lie_beside_the_model(models: Path, finished: FinishedRun) -> None:
    folder = models / B / "1"
    assert (folder / "assets" / "labels.txt").read_text() == "sandal\nshirt\n"
    card = json.loads((folder / folders.MODEL_CARD).read_text())
    assert card["run"] == finished.metrics["run_id"]
    assert card["labels"] == ["sandal", "shirt"]
    assert card["procedural"]
    (warning,) = card["warnings"]
    assert warning.startswith("Trained on procedural images, which mean nothing")
    assert (card["input"]["height"], card["input"]["width"], card["input"]["channels"]) == (28, 28, 1)
    assert card["input"]["formats"] == ["JPEG", "PNG", "GIF", "BMP", "WebP"]
    assert card["input"]["orientation"] == "turned upright as EXIF says"
    assert card["input"]["colour"].endswith("transparency is composed on white")
    assert card["metrics"]["test_accuracy"] == finished.networks["model-b-on-a"]["test"]["accuracy"]
    assert {"data", "weights", "versions", "source_commit", "experiment", "seed"} <= set(card)


def test_the_card_comes_from_the_model_itself(models: Path, served: dict[str, Any]) -> None:
    for name in (A, B):
        signature = served[name].signatures["model_card"]
        assert signature.structured_input_signature == ((), {})
        response = signature()
        content = response["json"].numpy()
        assert content == (models / name / "1" / folders.MODEL_CARD).read_bytes()
        assert content == (models / name / "1" / "assets/model_card.json").read_bytes()
        assert response["bytes"].numpy() == len(content)
        assert (response["json"].shape, response["bytes"].dtype) == ((), tf.int64)


def test_the_model_runs_every_warm_up_request(models: Path, served: dict[str, Any]) -> None:
    records = tf.data.TFRecordDataset(str(models / A / "1" / folders.WARM_UP)).as_numpy_iterator()
    called: set[str] = set()
    for record in records:
        log = messages.PredictionLog.FromString(record)
        if log.HasField("classify_log"):
            request = log.classify_log.request
            inputs = {"inputs": tf.constant(list(request.input.example_list.examples))}
        else:
            request = log.predict_log.request
            inputs = {name: tf.constant(from_proto(value)) for name, value in request.inputs.items()}
        assert request.model_spec.name == A
        called.add(request.model_spec.signature_name)
        served[A].signatures[request.model_spec.signature_name](**inputs)
    assert called == {"serving_default", "image_bytes", "classify"}


def test_exporting_again_skips_unless_forced(
    tmp_path: Path, runs: Path, reuse: experiment.Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plain(place: Path, **what: Any) -> None:  # the files' content is tested above
        write_plain(place)
        (place / folders.MODEL_CARD).write_text(json.dumps(model_card.card(**what)))

    monkeypatch.setattr(export, "_write", plain)

    def go(*, force: bool = False) -> list[tuple[int, bool]]:
        found, _ = export.export([reuse], runs=runs, models=tmp_path, profile="sample", force=force)
        return [(each.version, each.new) for each in found]

    assert go() == [(1, True), (1, True)]
    assert go() == [(1, False), (1, False)]
    assert go(force=True) == [(2, True), (2, True)]
    assert go() == [(2, False), (2, False)]
    config = model_config.read(tmp_path / "models.config")
    assert [entry.name for entry in config.model_config_list.config] == [A, B]


def test_versions_of_unlike_origin_never_share_a_name(
    tmp_path: Path, runs: Path, reuse: experiment.Experiment
) -> None:
    foreign, ours = tmp_path / A / "1", tmp_path / A / "2"
    for version, content in ((foreign, {"name": "theirs"}), (ours, {"run": "r", "profile": "full"})):
        (version / "assets.extra").mkdir(parents=True)
        (version / folders.MODEL_CARD).write_text(json.dumps(content))
    with pytest.raises(
        RepositoryError, match=r"/2 is of profile full, .* of profile sample: versions of one"
    ):
        export.export([reuse], runs=runs, models=tmp_path, profile="sample")
    assert folders.versions(tmp_path / A) == [1, 2]


@pytest.mark.parametrize(
    ("profile", "procedural", "weights", "outdated", "said"),
    [
        ("full", False, "imagenet", "", []),
        ("sample", True, "random", "", ["Trained on procedural", "had random weights"]),
        ("sample", False, "random", "", ["had random weights", "in short (profile sample)"]),
        ("quick", False, "imagenet", "", ["in short (profile quick)"]),
        ("full", False, "random", "", ["had random weights"]),
        (
            "full",
            False,
            "imagenet",
            "1 image more",
            ["have changed since it learnt from them: 1 image more."],
        ),
    ],
)
def test_the_card_warns_of_what_everybody_has_to_know(
    finished: FinishedRun,
    reuse: experiment.Experiment,
    profile: str,
    procedural: bool,
    weights: str,
    outdated: str,
    said: list[str],
) -> None:
    kind = "procedural" if procedural else "public"
    config = {**finished.config, "profile": {"name": profile}, "weights": {"kind": weights}}
    metrics = {**finished.metrics, "procedural": procedural}
    run = FinishedRun(finished.folder, {**config, "data": {**finished.config["data"], "kind": kind}}, metrics)
    warnings = model_card.card(reuse, reuse.servables[0], run, outdated)["warnings"]
    assert len(warnings) == len(said)
    assert all(part in warning for part, warning in zip(said, warnings, strict=True))


def test_the_card_warns_of_test_images_that_were_learnt_from(
    finished: FinishedRun, reuse: experiment.Experiment
) -> None:
    doubts = ["2 of the images to test on are learnt from as well: their figures will be too good"]
    config = {**finished.config, "data": {**finished.config["data"], "doubts": doubts}}
    run = FinishedRun(finished.folder, config, finished.metrics)
    assert f"{doubts[0]}." in model_card.card(reuse, reuse.servables[0], run)["warnings"]


def test_a_profile_without_runs_is_an_error(tmp_path: Path, runs: Path, reuse: experiment.Experiment) -> None:
    with pytest.raises(RunMissingError, match="profile full"):
        export.export([reuse], runs=runs, models=tmp_path, profile="full")
    assert not list(tmp_path.iterdir())
