"""A version that we write answers the same on both runtimes; TensorFlow serves what is not OpenVINO's."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keraserve_embedded.batching.options import BatchingOptions
from keraserve_embedded.engine import Engine, EngineOptions
from keraserve_embedded.errors import EmbeddedError, StartError
from keraserve_embedded.models.model_list import single_model
from keraserve_embedded.runtimes import Precision, Runtime
from keraserve_models.exporting import card
from keraserve_models.importing.importer import import_model
from keraserve_models.importing.request import ImportRequest
from keraserve_models.repository import digests
from keraserve_protocol import messages as m
from keraserve_protocol.openvino_form import FOLDER, NETWORK
from keraserve_protocol.tensors import from_proto, to_proto

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")

SIZE = (12, 16)


def classifier(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((*SIZE, 3))
    values = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(inputs))
    values = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(values))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(values))


def numbers() -> keras.Model:
    """Two inputs of two types, two outputs, whose names are not in the order of their tensors."""
    size, count = keras.Input((4,), name="size"), keras.Input((2,), name="count", dtype="int32")
    values = layers.Concatenate()([size, layers.Rescaling(1.0)(count)])
    return keras.Model([size, count], [layers.Dense(1, name="b")(values), layers.Dense(1, name="a")(values)])


def words() -> keras.Model:
    known = layers.TextVectorization(30, output_sequence_length=5)
    known.adapt(np.array(["a quick brown fox"]))
    inputs = keras.Input((1,), dtype="string", name="text")
    values = layers.GlobalAveragePooling1D()(layers.Embedding(30, 4)(known(inputs)))
    return keras.Model(inputs, layers.Dense(2)(values))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runtimes")
    made = {"images": classifier(3), "others": classifier(4), "numbers": numbers(), "words": words()}
    for name, model in made.items():
        model.save(folder / f"{name}.keras")
        labelled = _labelled(folder / "images") if name == "images" else ()
        import_model(ImportRequest(folder / f"{name}.keras", name, folder / "models", labelled=labelled))
    return folder / "models"


def _labelled(folder: Path) -> list[Path]:
    """A hundred images in folders of their classes."""
    for number, side in enumerate(range(2, 102)):
        file = folder / str(number % 3) / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image(side))
    return sorted(folder.rglob("*.jpg"))


@contextmanager
def served(base: Path, runtime: Runtime, precision: Precision = "float32") -> Iterator[tuple[Engine, str]]:
    """An engine with the model in a folder, and what its status says of the runtime."""
    engine = Engine(EngineOptions(runtime=runtime, precision=precision, batching=BatchingOptions()))
    try:
        engine.start(single_model(base.name, str(base)))
        response = engine.status(m.GetModelStatusRequest(model_spec=m.model_spec(base.name)))
        yield engine, response.model_version_status[0].status.error_message
    finally:
        engine.stop()


def image(side: int) -> bytes:
    pixels = np.random.default_rng(side).integers(0, 255, (side, side + 3, 3), np.uint8)
    return tf.io.encode_jpeg(pixels).numpy()


REQUESTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "images": [
        ("image_bytes", {"image_bytes": [image(30), image(9)]}),
        ("image_bytes", {"image_bytes": [image(30), b"no image"]}),
        ("serving_default", {"images": np.full((3, 5, 7, 4), 90, np.uint8)}),
        ("serving_default", {"images": np.zeros((0, 5, 7, 3), np.uint8)}),
        ("explain", {"image_bytes": [image(30)], "label": [b"1"]}),
    ],
    "numbers": [
        ("", {"size": np.ones((2, 4), np.float32), "count": np.array([[1, 2], [3, 4]], np.int32)}),
        ("", {"size": np.ones((2, 5), np.float32), "count": np.array([[1, 2], [3, 4]], np.int32)}),
        ("", {"size": np.ones((0, 4), np.float32), "count": np.zeros((0, 2), np.int32)}),
    ],
}


def answer(engine: Engine, name: str, signature: str, inputs: dict[str, Any]) -> Any:
    request = m.PredictRequest(model_spec=m.model_spec(name, signature=signature))
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(to_proto(value))
    try:
        return {key: from_proto(value) for key, value in engine.predict(request).outputs.items()}
    except EmbeddedError as error:
        return type(error), str(error)


@pytest.mark.parametrize("name", REQUESTS)
def test_answers_and_errors_are_the_same_on_both(repository: Path, name: str) -> None:
    with served(repository / name, "tensorflow") as (engine, said):
        assert said == ""
        theirs = [answer(engine, name, *each) for each in REQUESTS[name]]
    with served(repository / name, "openvino") as (engine, said):
        assert said == "OpenVINO runs it, in float32"
        ours = [answer(engine, name, *each) for each in REQUESTS[name]]
    for one, other in zip(ours, theirs, strict=True):
        if isinstance(other, tuple):
            assert one == other
            continue
        assert one.keys() == other.keys()
        for key, value in other.items():
            if value.dtype == object:
                np.testing.assert_array_equal(one[key], value)
            else:
                np.testing.assert_allclose(one[key], value, atol=1e-5)


def test_the_faster_one_is_taken_and_both_figures_are_said(repository: Path) -> None:
    with served(repository / "images", "auto") as (_, said):
        rate = r"images or rows a second, OpenVINO [\d,]+, TensorFlow [\d,]+"
        assert re.fullmatch(rf"(OpenVINO|TensorFlow) runs it, in float32: {rate}", said)


@pytest.mark.parametrize(
    ("after", "images", "said"),
    [
        (0.5, 100, "bfloat16 (50.00% of 100 images are right, in float32 50.00%)"),
        (0.4, 1000, "float32, not bfloat16 (40.00% of 1,000 images are right, in float32 50.00%; it may"),
    ],
)
def test_bfloat16_is_taken_where_the_card_allows_it(
    repository: Path, tmp_path: Path, after: float, images: int, said: str
) -> None:
    shutil.copytree(repository / "images", tmp_path / "images")
    folder = tmp_path / "images" / "1"
    content = card.read(folder)
    figures = content.pop("precision", None)
    if figures is None:
        pytest.skip("this processor has no bfloat16")
    assert figures["images"] == 100
    assert figures["float32"]["accuracy"] == pytest.approx(figures["bfloat16"]["accuracy"], abs=0.1)
    assert 0 < figures["bfloat16"]["largest_difference"] < 0.1
    accuracies = {"float32": {"accuracy": 0.5}, "bfloat16": {"accuracy": after}}
    card.write(folder, {**content, "precision": {"images": images, **accuracies}})
    digests.write(folder)
    request = REQUESTS["images"][0]
    with served(repository / "images", "openvino") as (engine, _):
        exact = answer(engine, "images", *request)["probabilities"]
    with served(tmp_path / "images", "openvino", "bfloat16") as (engine, found):
        assert found.startswith(f"OpenVINO runs it, in {said}")
        apart = np.abs(answer(engine, "images", *request)["probabilities"] - exact).max()
        assert (1e-5 < apart < 0.1) if said.startswith("bfloat16") else apart < 1e-5


def foreign(folder: Path, other: Path) -> None:
    """Another model's network, which no digest is of."""
    shutil.rmtree(folder / FOLDER)
    sums = folder / digests.FILE
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if FOLDER not in line))
    shutil.copytree(other / FOLDER, folder / FOLDER)


def exchanged(folder: Path, other: Path) -> None:
    """Another model's network, with digests that were made again."""
    shutil.rmtree(folder / FOLDER)
    shutil.copytree(other / FOLDER, folder / FOLDER)
    digests.write(folder)


def absent(folder: Path, other: Path) -> None:
    shutil.rmtree(folder / FOLDER)
    digests.write(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (foreign, "may be another model's"),
        (exchanged, "results differ by"),
        (absent, "may be another model's"),
    ],
)
def test_a_network_that_is_not_the_versions_is_not_served(
    repository: Path, tmp_path: Path, change: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(repository / "images", tmp_path / "images")
    change(tmp_path / "images" / "1", repository / "others" / "1")
    request = REQUESTS["images"][0]
    with served(repository / "images", "tensorflow") as (engine, _):
        right = answer(engine, "images", *request)
    with served(tmp_path / "images", "openvino") as (engine, said):
        assert said.startswith("TensorFlow runs it: ")
        assert reason in said
        assert reason in caplog.text
        np.testing.assert_allclose(
            answer(engine, "images", *request)["probabilities"], right["probabilities"]
        )


def test_a_changed_network_is_damage(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository / "images", tmp_path / "images")
    with (tmp_path / "images" / "1" / NETWORK).open("a") as file:
        file.write("\n")
    with (
        pytest.raises(StartError, match="is not the file that was exported"),
        served(tmp_path / "images", "auto"),
    ):
        pass


def test_what_can_not_be_converted_is_tensorflows(repository: Path) -> None:
    with served(repository / "words", "openvino") as (_, said):
        assert said.startswith("TensorFlow runs it: it has no form for OpenVINO (OpenVINO can't convert it: ")
        assert "export or import it again" in said
