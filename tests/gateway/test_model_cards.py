"""The warnings of a version's card are in its responses; without a card there are none, and no error."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from keraserve_gateway.upstream import model_cards
from keraserve_protocol import messages as m
from keraserve_protocol import services, tensors

PATH = "/v1/models/colours/images:classify"
WARNING = "Trained on procedural images, which mean nothing."


class Version:
    """A model server with one version; records the requests for its card."""

    def __init__(self, card: Callable[[], Any]) -> None:
        self.card, self.requests = card, list[m.PredictRequest]()

    async def predict(
        self, request: m.PredictRequest, context: grpc.aio.ServicerContext
    ) -> m.PredictResponse:
        self.requests.append(request)
        found = self.card()
        if isinstance(found, grpc.StatusCode):
            await context.abort(found, "no such signature")
        if isinstance(found, asyncio.Event):
            await found.wait()
            found = b"{}"
        response = m.PredictResponse(model_spec=request.model_spec)
        if found is not None:
            response.outputs["json"].CopyFrom(tensors.to_proto(found))
        return response

    def classify(self, _: m.ClassificationRequest, __: object) -> m.ClassificationResponse:
        response = m.ClassificationResponse(model_spec=m.model_spec("colours", version=3))
        response.result.classifications.add().classes.add(label="red", score=1)
        return response

    def status(self, _: m.GetModelStatusRequest, __: object) -> m.GetModelStatusResponse:
        response = m.GetModelStatusResponse()
        response.model_version_status.add(version=3, state=m.ModelVersionStatus.AVAILABLE)
        response.model_version_status.add(version=2, state=m.ModelVersionStatus.END)
        return response

    @property
    def calls(self) -> dict[Any, Any]:
        return {
            services.PREDICT: self.predict,
            services.CLASSIFY: self.classify,
            services.GET_MODEL_STATUS: self.status,
        }


@pytest.mark.shows("GET /v1/models/{m}", '"warnings": [...]')
async def test_warnings_are_in_every_response_and_in_the_list_of_models(
    make, serve_faults, red: bytes
) -> None:
    version = Version(lambda: json.dumps({"warnings": [WARNING], "more": 1}).encode())
    client = await make(await serve_faults(version.calls))
    for _ in range(3):
        response = (await client.post(PATH, content=red)).json()
        assert response["warnings"] == [WARNING]
    (model,) = (await client.get("/v1/models")).json()["models"]
    assert [one.get("warnings") for one in model["versions"]] == [[WARNING], None]
    entries = (await client.get("/v1/models/colours")).json()["model_version_status"]
    assert [(one["version"], one.get("warnings")) for one in entries] == [("3", [WARNING]), ("2", None)]
    (request,) = version.requests
    assert (request.model_spec.name, request.model_spec.version.value) == ("colours", 3)
    assert (request.model_spec.signature_name, list(request.output_filter)) == ("model_card", ["json"])
    assert not request.inputs


@pytest.mark.shows('"warnings": [...]', "a model card can't be read")
@pytest.mark.parametrize(
    "card",
    [
        grpc.StatusCode.FAILED_PRECONDITION,  # TensorFlow Serving's status for a missing signature
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
        None,
        b"{}",
        b'{"warnings": []}',
        b"no JSON",
        b"[]",
        b"\xff\xfe",
        b'{"warnings": "odd"}',
        b'{"warnings": [1, null]}',
        b"[" * 100_000,
        b" " * (2 << 20),
        [b"{}", b"{}"],
        [1.5],
    ],
)
async def test_no_card_means_no_warnings_and_no_error(make, serve_faults, red: bytes, card: Any) -> None:
    version = Version(lambda: card)
    client = await make(await serve_faults(version.calls))
    for _ in range(3):
        response = await client.post(PATH, content=red)
        assert response.status_code == 200, response.text
        assert "warnings" not in response.json()
    (model,) = (await client.get("/v1/models")).json()["models"]
    assert not [one for one in model["versions"] if "warnings" in one]
    entries = (await client.get("/v1/models/colours")).json()["model_version_status"]
    assert not [one for one in entries if "warnings" in one]
    assert len(version.requests) == 1


@pytest.mark.shows('"warnings": [...]')
async def test_a_version_that_does_not_respond_delays_only_the_first_response(
    make, serve_faults, red: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = asyncio.Event()
    version = Version(lambda: never)
    monkeypatch.setattr(model_cards, "FIRST_SECONDS", 0.01)
    client = await make(await serve_faults(version.calls))
    for _ in range(5):
        assert "warnings" not in (await client.post(PATH, content=red)).json()
    assert len(version.requests) == 1
    never.set()


@pytest.mark.shows('"warnings": [...]', "no model card")
async def test_an_unavailable_version_is_asked_again(
    make, serve_faults, red: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards: list[Any] = [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.NOT_FOUND]
    version = Version(lambda: cards.pop() if cards else json.dumps({"warnings": [WARNING]}).encode())
    client = await make(await serve_faults(version.calls))
    assert "warnings" not in (await client.post(PATH, content=red)).json()
    assert "warnings" not in (await client.post(PATH, content=red)).json()
    assert len(version.requests) == 1
    monkeypatch.setattr(model_cards, "AGAIN_SECONDS", 0)
    client.app.state.gateway.cards._not_before.clear()
    assert "warnings" not in (await client.post(PATH, content=red)).json()
    assert (await client.post(PATH, content=red)).json()["warnings"] == [WARNING]
    assert len(version.requests) == 3


@pytest.mark.shows('"warnings": [...]')
async def test_concurrent_requests_ask_for_a_card_once(make, serve_faults, red: bytes) -> None:
    version = Version(lambda: json.dumps({"warnings": [WARNING, "x" * 999] * 20}).encode())
    client = await make(await serve_faults(version.calls))  # coalescing looks at the card, too
    assert (await client.post(PATH, content=red)).status_code == 200
    responses = await asyncio.gather(*(client.post(PATH, content=red) for _ in range(8)))
    assert len(version.requests) == 1
    for response in responses:
        warnings = response.json()["warnings"]
        assert len(warnings) == 20
        assert warnings[:2] == [WARNING, "x" * 500]


@pytest.mark.shows("GET /v1/models/{m}/card")
async def test_a_card_is_given_as_it_was_written(make, serve_faults) -> None:
    text = json.dumps({"model": "colours", "labels": ["röt"]}, indent=2).encode()
    version = Version(lambda: text)
    client = await make(await serve_faults(version.calls))
    for path in ("", "/versions/7", "/labels/stable"):
        response = await client.get(f"/v1/models/colours{path}/card")
        assert (response.status_code, response.content) == (200, text)
        assert response.headers["content-type"] == "application/json"
    assert response.headers.get("x-model-version") is None  # this model server does not say it
    assert [str(one.model_spec.version_label) for one in version.requests] == ["", "", "stable"]


@pytest.mark.parametrize(
    ("card", "status", "says"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 404, "model 'colours' has no card: no such signature"),
        (grpc.StatusCode.NOT_FOUND, 404, "no such signature"),
        (None, 502, "the card of model 'colours' can't be read: there is no output 'json'"),
        (b"[]", 502, "it is no JSON object"),
        (b"{", 502, "can't be read"),
        (7, 502, "it is no text"),
    ],
)
async def test_no_card_and_one_that_can_not_be_read(
    make, serve_faults, card: Any, status: int, says: str
) -> None:
    client = await make(await serve_faults(Version(lambda: card).calls))
    response = await client.get("/v1/models/colours/card")
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert says in response.json()["detail"]
