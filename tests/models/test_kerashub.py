"""Models of KerasHub and of the Hugging Face Hub: from a preset's folder, a file, and the Hub's own cache."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from models.conftest import images_in
from models.imports import NAME, imported, run

from keraserve_models.errors import ImportRejected, ModelsError, NotTrusted
from keraserve_models.exporting.served import served
from keraserve_models.importing import hub
from keraserve_models.importing.request import Overrides, Scale

keras_hub = pytest.importorskip("keras_hub", reason="KerasHub is not installed: make setup HUB=1")

SIZE = (24, 32)
CONVERTER: dict[str, Any] = {"image_size": SIZE, "scale": [0.02, 0.01, 0.03], "offset": [-1.0, 0.5, -2.0]}


def classifier(activation: str | None = None, **converter: Any) -> Any:
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64],
        stackwise_num_blocks=[1],
        stackwise_num_strides=[1],
        block_type="basic_block",
        use_pre_activation=False,
        image_shape=(None, None, 3),
    )
    steps = keras_hub.layers.ImageConverter(**{**CONVERTER, **converter})
    return keras_hub.models.ResNetImageClassifier(
        backbone,
        3,
        preprocessor=keras_hub.models.ResNetImageClassifierPreprocessor(steps),
        activation=activation,
    )


def encoded(*images: np.ndarray[Any, Any]) -> Any:
    return np.array([tf.io.encode_png(each).numpy() for each in images], object)


@pytest.mark.parametrize(
    ("form", "crops", "activation"),
    [("preset", True, None), ("preset", False, "softmax"), ("task.keras", True, "softmax")],
)
def test_an_image_classifier_gives_what_kerashub_gives(
    tmp_path: Path, models: Path, form: str, crops: bool, activation: str | None
) -> None:
    model = classifier(activation, crop_to_aspect_ratio=crops)
    place = tmp_path / form
    if form == "preset":
        model.save_to_preset(str(place))
    else:
        model.save(place)
    done = imported(place, models)
    assert (done.card["task"], done.card["scale"]) == ("images", "none")
    assert done.card["scores"] == ("softmax" if activation else "logits")
    assert ("cropped" in done.card["input"]["size"]) == crops
    # Images that grow, upright and wide ones: one that shrinks is antialiased by us, and not by KerasHub.
    random = np.random.default_rng(1)
    images = [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((24, 32), (20, 12), (9, 32))]
    ours = run(models, "image_bytes", image_bytes=encoded(*images))["probabilities"]
    given = np.concatenate([np.asarray(model.predict(each[None], verbose=0)) for each in images])
    wanted = given if activation else np.asarray(tf.nn.softmax(given))
    np.testing.assert_allclose(ours, wanted, atol=1e-5)
    assert np.abs(ours[1] - ours[2]).max() > 1e-3


def test_a_last_layer_inside_of_another(tmp_path: Path, models: Path) -> None:
    """VGG's head is a network of its own."""
    steps = keras_hub.layers.VGGImageConverter(**{**CONVERTER, "image_size": (32, 32)})
    model = keras_hub.models.VGGImageClassifier(
        keras_hub.models.VGGBackbone([1, 1], [8, 8], image_shape=(32, 32, 3)),
        3,
        preprocessor=keras_hub.models.VGGImageClassifierPreprocessor(steps),
        pooling="flatten",
        pooling_hidden_dim=8,
        activation="softmax",
    )
    model.save_to_preset(str(tmp_path / "preset"))
    done = imported(tmp_path / "preset", models)
    assert (done.card["task"], done.card["scores"]) == ("images", "softmax")
    with pytest.raises(ImportRejected, match="takes images of 32 x 32 pixels, and --size says 32 x 40"):
        imported(tmp_path / "preset", models, overrides=Overrides(size=(32, 40)))
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    ours = run(models, "image_bytes", image_bytes=encoded(*images))["probabilities"]
    np.testing.assert_allclose(ours, model.predict(images, verbose=0), atol=1e-5)


def test_arrays_are_cropped_as_files_are(tmp_path: Path, models: Path) -> None:
    classifier(crop_to_aspect_ratio=True).save_to_preset(str(tmp_path / "preset"))
    imported(tmp_path / "preset", models)
    images = np.random.default_rng(1).integers(0, 256, (2, 60, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        run(models, "serving_default", images=images)["probabilities"],
        run(models, "image_bytes", image_bytes=encoded(*images))["probabilities"],
    )


def test_what_is_not_kept_of_a_converter_is_said_or_rejected(tmp_path: Path, models: Path) -> None:
    padded, bicubic = tmp_path / "padded", tmp_path / "bicubic"
    classifier(pad_to_aspect_ratio=True, crop_to_aspect_ratio=False).save_to_preset(str(padded))
    with pytest.raises(ImportRejected, match="pads images"):
        imported(padded, models)
    classifier(interpolation="bicubic").save_to_preset(str(bicubic))
    with pytest.raises(ImportRejected, match="--scale has no effect"):
        imported(bicubic, models, overrides=Overrides(scale=Scale.UNIT))
    assert not (models / NAME).exists()
    assert "bicubic" in " ".join(imported(bicubic, models).card["found"])


def test_a_backbone_is_served_as_tensors(tmp_path: Path, models: Path) -> None:
    model = classifier().backbone
    model.save_to_preset(str(tmp_path / "backbone"))
    assert imported(tmp_path / "backbone", models).card["task"] == "tensors"
    images = np.random.default_rng(1).uniform(-1, 1, (2, *SIZE, 3)).astype(np.float32)
    with served(models / NAME / "1") as version:
        [name] = version.inputs("serving_default")
        [ours] = version.run("serving_default", {name: images}).values()
    np.testing.assert_allclose(ours, model.predict(images, verbose=0), atol=1e-5)


def test_a_preset_can_hold_programs(tmp_path: Path, models: Path) -> None:
    classifier().save_to_preset(str(tmp_path / "preset"))
    file = tmp_path / "preset" / "task.json"
    file.write_text(file.read_text().replace('"keras_hub.src.models.resnet', '"somewhere.resnet'))
    with pytest.raises(NotTrusted, match="custom class"):
        imported(tmp_path / "preset", models)


def test_a_preset_of_another_kerashub(tmp_path: Path, models: Path) -> None:
    classifier().save_to_preset(str(tmp_path / "preset"))
    file = tmp_path / "preset" / "task.json"
    task = json.loads(file.read_text())
    file.write_text(json.dumps({**task, "registered_name": "keras_hub>OfTomorrow"}))
    with pytest.raises(ImportRejected, match="is a keras_hub>OfTomorrow, which keras-hub"):
        imported(tmp_path / "preset", models)


REPOSITORY, COMMIT = "somebody/flowers", "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository's files in the Hub's cache, as its own library keeps them; the Hub can't be reached."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / f"models--{REPOSITORY.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    place = repository / "snapshots" / COMMIT
    place.mkdir(parents=True)
    return place


def test_a_repository_with_one_model_file(cached: Path, models: Path) -> None:
    images_in(keras.layers.Rescaling(1 / 255)).save(cached / "model.keras")
    (cached / "encoder.weights.h5").write_bytes(b"")
    address = f"hf://{REPOSITORY}"
    path = hub.download(address)
    assert path == cached / "model.keras"
    done = imported(path, models, address=address)
    assert done.card["imported_from"]["file"] == address
    assert hub.download(f"{address}@{COMMIT}/model.keras") == path
    assert hub.repository(f"{address}@{COMMIT}/model.keras") == REPOSITORY
    assert hub._parts(f"{address}@refs/pr/1/model.keras") == (REPOSITORY, "refs/pr/1", "model.keras")
    (cached / "old.h5").write_bytes(b"")
    with pytest.raises(ImportRejected, match=r"holds model.keras, old.h5: name one, as in .*/model.keras"):
        hub.download(address)


def test_what_keras_saved_to_the_hub(cached: Path, models: Path) -> None:
    """Keras saves the content of a `.keras` file there, not the file."""
    import zipfile

    model = images_in(keras.layers.Rescaling(1 / 255))
    model.save(cached / "model.keras")
    with zipfile.ZipFile(cached / "model.keras") as archive:
        archive.extractall(cached)
    (cached / "model.keras").unlink()
    assert hub.download(f"hf://{REPOSITORY}") == cached
    assert imported(cached, models).card["imported_from"]["form"] == "Keras file (.keras)"


def test_a_preset_of_the_hub(cached: Path, models: Path) -> None:
    classifier().save_to_preset(str(cached))
    assert imported(hub.download(f"hf://{REPOSITORY}"), models).card["task"] == "images"


@pytest.mark.parametrize(
    "address",
    ["hf://flowers", *(f"hf://{REPOSITORY}/{file}" for file in ("../../m.keras", "/m.keras", "a/.."))],
)
def test_what_is_no_address(cached: Path, address: str) -> None:
    with pytest.raises(ImportRejected, match="is no address: write hf://USER/REPOSITORY"):
        hub.download(address)


def test_what_is_named_is_downloaded_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub
    from huggingface_hub.utils import filter_repo_objects

    files = ["a [1]/saved_model.pb", "a [1]/variables/variables.index", "a 1/saved_model.pb", "converted.zip"]
    downloaded: list[list[str]] = []

    def snapshot_download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        downloaded.append(list(filter_repo_objects(files, allow_patterns=allow_patterns)))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    for file in ("a [1]", "converted.zip"):
        assert hub.download(f"hf://{REPOSITORY}/{file}") == tmp_path / file
    assert downloaded == [files[:2], files[3:]]


def test_what_can_not_be_downloaded(cached: Path) -> None:
    with pytest.raises(ModelsError, match="hf://somebody/trees can't be downloaded"):
        hub.download("hf://somebody/trees")


def test_a_model_of_transformers(cached: Path, models: Path) -> None:
    (cached / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ImportRejected, match="of Hugging Face's Transformers, which Keras can't read"):
        imported(cached, models)
