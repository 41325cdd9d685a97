"""The calls of all four clients, against the real gateway and the real embedded server."""

from typing import Any

import numpy as np
import pytest

from keraserve_client import (
    AsyncClient,
    BadRequest,
    Class,
    Client,
    InvalidInput,
    Model,
    NotFound,
    NotSupported,
    Prediction,
    State,
    StatusError,
    TensorSpec,
    VersionStatus,
)


def is_http(client: Any) -> bool:
    return isinstance(getattr(client, "client", client), Client | AsyncClient)


def pixels(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((10, 12, 3), (red, green, blue), np.uint8)


def test_one_image_gives_a_list_of_one(client: Any, red: bytes) -> None:
    predictions = client.classify("colours", red)
    assert len(predictions) == 1
    [prediction] = predictions
    assert isinstance(prediction, Prediction)
    assert (prediction.model, prediction.version, prediction.filename) == ("colours", 1, None)
    assert prediction.best.label == "red"
    assert len(prediction.classes) == 3
    assert prediction.best == prediction.classes[0]
    assert isinstance(prediction.best, Class)
    assert sum(entry.probability for entry in prediction.classes) == pytest.approx(1)
    assert prediction.best.probability == pytest.approx(1, abs=1e-6)


def test_all_clients_find_the_same_probabilities(client: Any) -> None:
    [prediction] = client.classify("colours", pixels(120, 110, 100))
    assert [entry.label for entry in prediction.classes] == ["red", "green", "blue"]
    expected = np.exp([12, 11, 10]) / np.exp([12, 11, 10]).sum()
    assert [entry.probability for entry in prediction.classes] == pytest.approx(expected, abs=1e-5)


def test_several_images_of_every_kind_keep_their_order(client: Any, tmp_path: Any, green: bytes) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / 'a "green" größe.png'
    path.write_bytes(green)
    images = [path, pixels(250, 0, 0), image.new("RGB", (5, 5), (0, 0, 250)), bytearray(green), str(path)]
    predictions = client.classify("colours", images, top_k=1)
    assert [prediction.best.label for prediction in predictions] == ["green", "red", "blue", "green", "green"]
    assert [prediction.filename for prediction in predictions] == [path.name, None, None, None, path.name]
    assert all(len(prediction.classes) == 1 for prediction in predictions)


def test_a_map_of_what_decided(client: Any, tmp_path: Any, green: bytes) -> None:
    both = np.concatenate([pixels(250, 0, 0), pixels(0, 0, 200)], axis=1)
    (tmp_path / "a.png").write_bytes(green)
    first, second = client.explain("colours", [both, tmp_path / "a.png"], version=1)
    assert (first.label, first.model, first.version, first.filename) == ("red", "colours", 1, None)
    assert (second.label, second.filename) == ("green", "a.png")
    assert (first.map.shape, first.map.dtype) == ((8, 8), np.float32)
    np.testing.assert_allclose(first.map[:, :3], 250 / 255, rtol=1e-6)
    np.testing.assert_allclose(first.map[:, 5:], 0)
    [blue] = client.explain("colours", both, "blue")
    assert blue.label == "blue"
    assert blue.probability == pytest.approx(1 - first.probability, abs=1e-3)
    np.testing.assert_allclose(blue.map[:, 5:], 200 / 255, rtol=1e-6)
    with pytest.raises(BadRequest, match="no such class"):
        client.explain("colours", both, "pink")


def test_no_images_are_no_predictions(client: Any) -> None:
    assert client.classify("colours", []) == []
    assert client.explain("colours", []) == []


@pytest.mark.parametrize("choice", [{"version": 1}, {"label": "stable"}], ids=["version", "label"])
def test_a_version_is_chosen_by_number_or_label(client: Any, choice: dict[str, Any], red: bytes) -> None:
    assert client.classify("colours", red, **choice)[0].version == 1
    assert client.predict("colours", pixels(0, 0, 9)[None], **choice)["label"].tolist() == [b"blue"]
    assert client.metadata("colours", **choice).version == 1
    assert client.status("colours", **choice).available == (1,)


def test_predict_with_an_array(client: Any) -> None:
    outputs = client.predict("colours", np.stack([pixels(120, 110, 100), pixels(0, 200, 0)]))
    assert set(outputs) == {"label", "probabilities"}
    assert outputs["probabilities"].dtype == np.float32
    assert outputs["probabilities"].shape == (2, 3)
    np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), [1, 1], rtol=1e-6)
    assert outputs["label"].dtype == object
    assert outputs["label"].tolist() == [b"red", b"green"]


def test_predict_with_lists_and_by_name(client: Any) -> None:
    outputs = client.predict("colours", {"images": pixels(9, 0, 0)[None].tolist()})
    assert outputs["label"].tolist() == [b"red"]


def test_predict_with_bytes(client: Any, red: bytes, green: bytes) -> None:
    outputs = client.predict("colours", [red, green], signature="image_bytes")
    assert outputs["label"].tolist() == [b"red", b"green"]


def test_status_lists_the_versions(client: Any) -> None:
    status = client.status("colours")
    assert status.name == "colours"
    assert status.versions == (VersionStatus(1, State.AVAILABLE, ""),)
    assert status.available == (1,)


def test_metadata_describes_the_signatures(client: Any) -> None:
    metadata = client.metadata("colours")
    assert (metadata.model, metadata.version) == ("colours", 1)
    assert set(metadata.signatures) == {"serving_default", "image_bytes", "classify", "explain"}
    signature = metadata.signatures["serving_default"]
    assert signature.inputs == {"images": TensorSpec("uint8", (None, None, None, 3))}
    assert signature.outputs == {
        "label": TensorSpec("string", (None,)),
        "probabilities": TensorSpec("float32", (None, 3)),
    }
    assert metadata.signatures["classify"].method == "tensorflow/serving/classify"


def test_models_are_listed_over_http_only(client: Any) -> None:
    if is_http(client):
        versions = (VersionStatus(1, State.AVAILABLE),)
        assert client.models() == [Model("colours", versions, {"stable": 1})]
    else:
        with pytest.raises(NotSupported, match="over HTTP"):
            client.models()


def test_ready_is_true(client: Any) -> None:
    assert client.ready() is True


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("classify", {"model": "nowhere", "images": b"\x89PNG\r\n\x1a\n"}),
        ("predict", {"model": "nowhere", "inputs": [1]}),
        ("status", {"model": "nowhere"}),
        ("metadata", {"model": "nowhere"}),
        ("metadata", {"model": "colours", "version": 7}),
        ("predict", {"model": "colours", "inputs": [1], "version": 7}),
        ("status", {"model": "colours", "version": 7}),
    ],
)
def test_a_missing_model_or_version_is_not_found(
    client: Any, call: str, arguments: dict[str, Any], red: bytes
) -> None:
    if call == "classify":
        arguments = {**arguments, "images": red}
    with pytest.raises(NotFound) as caught:
        getattr(client, call)(**arguments)
    assert caught.value.status_code == 404
    assert any(word in caught.value.detail for word in ("nowhere", "7"))


def test_an_unknown_label_is_named(client: Any, red: bytes) -> None:
    with pytest.raises(StatusError, match="canary") as caught:
        client.classify("colours", red, label="canary")
    assert caught.value.status_code in (400, 404)  # TensorFlow Serving itself calls it INVALID_ARGUMENT


def test_a_broken_image_is_a_bad_request_that_says_which(client: Any, red: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        client.classify("colours", [red, red[:60]])
    assert caught.value.status_code == 400
    assert "1" in caught.value.detail


@pytest.mark.parametrize(
    ("inputs", "signature", "says"),
    [
        ([[1]], "nothing", "no signature 'nothing'; it has: classify, explain, image_bytes, serving_default"),
        ({"photos": [1]}, "serving_default", "inputs are images, not photos"),
        (np.zeros((1, 2, 2, 3)), "serving_default", "uint8, and the values given are float64"),
        ([[[[256, 0, 0]]]], "serving_default", "out of its range"),
        ([1], "image_bytes", "give text or bytes"),
    ],
)
def test_wrong_inputs_are_named_before_they_are_sent(
    client: Any, inputs: Any, signature: str, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        client.predict("colours", inputs, signature)


@pytest.mark.parametrize("version", [-1, 2**63, "1", 1.0, True, False])
def test_a_version_is_a_whole_number(client: Any, version: Any) -> None:
    with pytest.raises(InvalidInput, match="is no version"):
        client.status("colours", version)


def test_a_wrong_shape_is_a_bad_request(client: Any) -> None:
    with pytest.raises(BadRequest):
        client.predict("colours", np.zeros((2, 3), np.uint8))
