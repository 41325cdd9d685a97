"""TensorFlow Serving's REST API on a model of images, against a real model server."""

import base64
import json
import threading

import httpx2
import pytest

from keraserve_protocol import rest


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


@pytest.mark.shows("GET /v1/models/{m}", "POST /v1/models/{m}:predict", "POST /v1/models/{m}/images:classify")
@pytest.mark.parametrize("path", ["", "/versions/1", "/labels/stable"])
async def test_every_way_to_name_a_model(gateway: httpx2.AsyncClient, red: bytes, path: str) -> None:
    model = f"/v1/models/colours{path}"
    assert (await gateway.get(model)).json()["model_version_status"][0]["version"] == "1"
    unknown = await gateway.get(model, headers={"X-Model-Label": "nope"})
    assert unknown.status_code == (200 if path else 404)
    assert (await gateway.get(f"{model}/metadata")).json()["model_spec"]["name"] == "colours"
    body = {"signature_name": "image_bytes", "instances": [b64(red)]}
    assert (await gateway.post(f"{model}:predict", json=body)).json()["predictions"][0]["label"] == "red"
    body = {"signature_name": "classify", "examples": [{"image/encoded": b64(red)}]}
    assert (await gateway.post(f"{model}:classify", json=body)).json()["results"][0][0] == ["red", 1.0]
    response = await gateway.post(f"{model}/images:classify", content=red)
    assert response.json()["predictions"][0]["classes"][0]["label"] == "red"


@pytest.mark.shows("POST /v1/models/{m}:predict")
async def test_predict_by_rows_and_by_columns(gateway: httpx2.AsyncClient) -> None:
    pixels = [[[200, 0, 0]] * 2] * 2
    rows = await gateway.post("/v1/models/colours:predict", json={"instances": [pixels, pixels]})
    columns = await gateway.post("/v1/models/colours:predict", json={"inputs": {"images": [pixels]}})
    assert [row["label"] for row in rows.json()["predictions"]] == ["red", "red"]
    assert columns.json()["outputs"]["label"] == ["red"]
    assert len(columns.json()["outputs"]["probabilities"][0]) == 3


@pytest.mark.shows("an image as a")
async def test_bodies_not_parsed_in_pieces_are_parsed_in_a_thread(
    gateway: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As 224x224x3 numbers by their input's name."""
    read_in: list[int] = []

    def parse(body: bytes) -> rest.Prediction:
        read_in.append(threading.get_ident())
        return real(body)

    real = rest.parse_prediction
    monkeypatch.setattr(rest, "parse_prediction", parse)
    for size, in_the_loop in ((2, True), (224, False)):
        body = json.dumps({"instances": [{"images": [[[0, 200, 0]] * size] * size}]})
        response = await gateway.post("/v1/models/colours:predict", content=body)
        assert response.json()["predictions"][0]["label"] == "green"
        assert (read_in.pop() == threading.get_ident()) is in_the_loop


@pytest.mark.shows("POST /v1/models/{m}:classify")
async def test_classify_with_context(gateway: httpx2.AsyncClient, green: bytes) -> None:
    body = {"signature_name": "classify", "context": {"image/encoded": b64(green)}, "examples": [{}, {}]}
    response = await gateway.post("/v1/models/colours:classify", json=body)
    best = [max(one, key=lambda pair: pair[1])[0] for one in response.json()["results"]]
    assert best == ["green", "green"]


@pytest.mark.shows("bad-request")
@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("nope:predict", {"instances": [1]}, 404, "nope"),
        ("nope:classify", {"examples": [{"a": 1}]}, 404, "nope"),
        ("nope:regress", {"examples": [{"a": 1}]}, 404, "nope"),
        ("colours/versions/7:predict", {"instances": [1]}, 404, "7"),
        ("colours/labels/none:predict", {"instances": [1]}, 404, "none"),
        ("colours/labels/none:classify", {"examples": [{"a": 1}]}, 404, "none"),
        ("colours/versions/x:predict", {"instances": [1]}, 400, "version"),
        ("colours:predict", {"instances": []}, 400, "at least one"),
        ("colours:predict", {"instances": [1], "inputs": [1]}, 400, "not both"),
        ("colours:predict", {}, 400, "'instances' or 'inputs'"),
        ("colours:predict", {"signature_name": "none", "instances": [1]}, 400, "serving_default"),
        ("colours:predict", {"instances": [[1], [1, 2]]}, 400, "differ in length"),
        ("colours:predict", {"instances": [[[["x"]]]]}, 400, "a string where uint8"),
        ("colours:predict", {"instances": [[[[300]]]]}, 400, "range"),
        ("colours:predict", {"signature_name": "image_bytes", "instances": [{"b64": "?"}]}, 400, "base64"),
        ("colours:classify", {"examples": []}, 400, "at least one"),
        ("colours:classify", {"signature_name": "classify", "examples": [{"a": [1, "b"]}]}, 400, "one kind"),
        ("colours:regress", {"examples": [{"a": 1}]}, 400, ""),
    ],
)
async def test_errors_have_tensorflow_servings_form(
    gateway: httpx2.AsyncClient, path: str, body: object, status: int, says: str
) -> None:
    response = await gateway.post(f"/v1/models/{path}", json=body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    assert says in response.json()["error"]


@pytest.mark.shows("bad-request")
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff\xfe\xfa", b"[" * 100_000, b'{"instances":' + b"[" * 300]
)
async def test_bodies_that_are_no_json(gateway: httpx2.AsyncClient, body: bytes) -> None:
    response = await gateway.post("/v1/models/colours:predict", content=body)
    assert response.status_code == 400
    assert "JSON" in response.json()["error"]


@pytest.mark.shows("bad-request")
async def test_an_undecodable_image_is_400(gateway: httpx2.AsyncClient, red: bytes) -> None:
    body = {"signature_name": "image_bytes", "instances": [b64(red), b64(b"no image"), b64(red)]}
    response = await gateway.post("/v1/models/colours:predict", content=json.dumps(body))
    assert response.status_code == 400, response.text
    assert set(response.json()) == {"error"}
    assert "image_bytes[1]" in response.json()["error"]
