"""`images:explain`: images in, maps out, against a real model server."""

import io
import json
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
from encoded_images import undecodable_png
from PIL import Image

from keraserve_protocol import messages as m
from keraserve_protocol import services, tensors

PATH = "/v1/models/colours/images:explain"


def half_red() -> bytes:
    """The left half is red, the right one blue."""
    image = Image.new("RGB", (16, 16), (250, 0, 0))
    image.paste((0, 0, 200), (8, 0, 16, 16))
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


@pytest.mark.shows("POST /v1/models/{m}/images:explain", "the response of images:explain")
@pytest.mark.parametrize("version", ["", "/versions/1", "/labels/stable"])
async def test_a_map_of_the_most_probable_class_or_the_one_that_is_asked_about(
    gateway: httpx2.AsyncClient, version: str
) -> None:
    path = PATH.replace("/images", f"{version}/images")
    for query, label, brighter in (("", "red", 0), ("?class_label=blue", "blue", 1)):
        response = await gateway.post(path + query, content=half_red())
        assert response.status_code == 200, response.text
        assert response.headers["x-model-version"] == "1"
        body = response.json()
        [entry] = body.pop("explanations")
        assert body == {"model": "colours", "version": 1}
        assert (entry["filename"], entry["label"]) == (None, label)
        assert 0 < entry["probability"] < 1
        assert (len(entry["map"]), {len(row) for row in entry["map"]}) == (8, {8})
        halves = np.hsplit(np.array(entry["map"]), 2)
        assert halves[brighter].sum() > 20 > 5 > halves[1 - brighter].sum()


async def test_bad_images_among_good_ones(gateway: httpx2.AsyncClient, red: bytes, green: bytes) -> None:
    names = [("a.png", red), ("b.png", red[:40]), ("c.png", undecodable_png()), ("d.png", green)]
    files = [("images", (name, data, "image/png")) for name, data in names]
    response = await gateway.post(PATH, files=files)
    assert response.status_code == 200, response.text
    found = response.json()["explanations"]
    assert [one["filename"] for one in found] == [name for name, _ in names]
    assert [one.get("label") for one in found] == ["red", None, None, "green"]
    assert "cut off" in found[1]["error"]
    assert found[2]["error"].startswith("the model can't read it: ")
    response = await gateway.post(PATH, files=files, params={"strict": "true"})
    assert response.status_code == 400
    assert response.json()["image"] == {"index": 1, "filename": "b.png"}


@pytest.mark.shows("a model without maps, or without the class")
@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        (f"{PATH}?class_label=pink", 400, "no such class"),
        (f"{PATH}?class_label=red&class_label=red", 400, "a query parameter is there twice"),
        (f"{PATH}?top_k=3", 400, "top_k: there is no such parameter"),
        (PATH.replace("colours", "nope"), 404, "model 'nope' is not served"),
        (PATH.replace("/images", "/labels/nope/images"), 404, "nope"),
    ],
)
async def test_requests_that_are_rejected(
    gateway: httpx2.AsyncClient, red: bytes, path: str, status: int, detail: str
) -> None:
    response = await gateway.post(path, content=red)
    assert response.status_code == status, response.text
    assert detail in response.json()["detail"]


OUTPUTS = {
    "map": np.full((1, 2, 3), 0.25, np.float32),
    "label": [b"red"],
    "probability": np.array([0.9], np.float32),
}


@pytest.mark.parametrize(
    ("outputs", "signatures", "status", "detail"),
    [
        ({}, ["classify"], 400, "model 'colours' has no maps: it has no signature 'explain'"),
        ({}, ["explain"], 400, "model 'colours' has no class 'blue'; it has green, red"),
        ({"label": [b"red"]}, ["explain"], 502, "the model server's response has no maps"),
        (OUTPUTS | {"map": np.ones((2, 2, 2), np.float32)}, ["explain"], 502, "2 results for 1 images"),
        (OUTPUTS | {"probability": np.array([np.nan], np.float32)}, ["explain"], 502, "NaN"),
        (OUTPUTS, ["explain"], 200, None),
    ],
)
async def test_what_a_model_server_answers(
    make, serve_faults, red: bytes, outputs: dict[str, Any], signatures: list[str], status: int, detail: str
) -> None:
    async def predict(request: m.PredictRequest, context: Any) -> m.PredictResponse:
        response = m.PredictResponse(model_spec=m.model_spec("colours", version=1))
        card = request.model_spec.signature_name == "model_card"
        if not card and not outputs:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "rejected")
        given = {"json": json.dumps({"labels": ["red", "green"]}).encode()} if card else outputs
        for name, value in given.items():
            response.outputs[name].CopyFrom(tensors.to_proto(value))
        return response

    def metadata(_: object, __: object) -> m.GetModelMetadataResponse:
        known = m.SignatureDefMap()
        for name in signatures:
            known.signature_def[name].method_name = "tensorflow/serving/predict"
        return m.GetModelMetadataResponse(metadata={"signature_def": m.pack_signatures(known)})

    calls = {services.PREDICT: predict, services.GET_MODEL_METADATA: metadata}
    gateway = await make(await serve_faults(calls))
    response = await gateway.post(f"{PATH}?class_label=blue", content=red)
    assert response.status_code == status, response.text
    if detail:
        assert detail in response.json()["detail"]
    else:
        entry = {"filename": None, "label": "red", "probability": 0.9, "map": [[0.25] * 3] * 2}
        assert response.json()["explanations"] == [entry]
