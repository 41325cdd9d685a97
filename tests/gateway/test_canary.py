"""Which version gets requests that name none, over HTTP and gRPC; the whole path is in tests/system."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx2
import pytest

from keraserve_gateway import watched_file
from keraserve_gateway.grpc_api.server import GrpcServer
from keraserve_gateway.http.app import gateway_of
from keraserve_gateway.upstream.canary import Canary
from keraserve_gateway.upstream.configured_models import ConfiguredModels
from keraserve_protocol import messages as m
from keraserve_protocol import model_config, services

IMAGES = "/v1/models/colours/images:classify"
LABELS = {"stable": 1, "canary": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_labels(tmp_path, LABELS)
    return tmp_path


def write_labels(folder: Path, labels: dict[str, int]) -> None:
    config = m.ModelServerConfig()
    entry = config.model_config_list.config.add(name="colours", base_path="/x")
    for label, version in labels.items():
        entry.version_labels[label] = version
    replace(folder / "models.config", model_config.render(config))


def write_shares(folder: Path, shares: Any) -> None:
    replace(folder / "canary.json", json.dumps(shares))


def replace(file: Path, text: str) -> None:
    part = file.with_name("part")
    part.write_text(text)
    part.replace(file)


class ThreeVersions:
    """A model server with versions 1, 2 and 3, of which only those in `available` are served."""

    def __init__(self) -> None:
        self.available = {1, 2, 3}

    async def classify(self, request: m.ClassificationRequest, context: Any) -> m.ClassificationResponse:
        spec = request.model_spec
        version = await self.version(spec, context)
        response = m.ClassificationResponse(model_spec=m.model_spec(spec.name, version=version))
        for _ in request.input.example_list.examples:
            response.result.classifications.add().classes.add(label="x", score=1)
        return response

    async def predict(self, request: m.PredictRequest, context: Any) -> m.PredictResponse:
        """Return the inputs as outputs."""
        if request.model_spec.signature_name == "file":
            await context.abort(grpc.StatusCode.NOT_FOUND, "/a/file; No such file or directory")
        version = await self.version(request.model_spec, context)
        signature = request.model_spec.signature_name
        spec = m.model_spec(request.model_spec.name, version=version, signature=signature)
        return m.PredictResponse(model_spec=spec, outputs=request.inputs)

    async def multi_inference(
        self, request: m.MultiInferenceRequest, context: Any
    ) -> m.MultiInferenceResponse:
        response = m.MultiInferenceResponse()
        for task in request.tasks:
            version = await self.version(task.model_spec, context)
            response.results.add().model_spec.version.value = version
        return response

    async def version(self, spec: m.ModelSpec, context: Any) -> int:
        match spec.WhichOneof("version_choice"):
            case "version":
                version = spec.version.value
            case "version_label":
                version = {**LABELS, "third": 3}.get(spec.version_label, 0)
            case _:
                version = max(self.available)
        if version not in self.available:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {version}")
        return version


@pytest.fixture
async def versions() -> ThreeVersions:
    return ThreeVersions()


@pytest.fixture
async def gateway(make, serve_faults, versions: ThreeVersions, folder: Path) -> httpx2.AsyncClient:
    calls = {
        services.CLASSIFY: versions.classify,
        services.PREDICT: versions.predict,
        services.MULTI_INFERENCE: versions.multi_inference,
    }
    return await make(await serve_faults(calls), models="", model_config_file=folder / "models.config")


async def ask(gateway: httpx2.AsyncClient, red: bytes, path: str = IMAGES, **headers: str) -> int:
    response = await gateway.post(path, content=red, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["x-model-version"] == str(response.json()["version"])
    return response.json()["version"]


@pytest.mark.shows("X-Model-Version")
async def test_version_0_is_a_version_as_any_other(gateway, versions: ThreeVersions, red: bytes) -> None:
    versions.available = {0}
    for path in (IMAGES, IMAGES.replace("/images", "/versions/0/images")):
        assert await ask(gateway, red, path) == 0
    assert 'version="0"' in (await gateway.get("/metrics")).text


@pytest.mark.shows("X-Model-Version", "KERASERVE_CANARY_FILE")
async def test_shares_change_while_the_gateway_runs(gateway, folder: Path, red: bytes) -> None:
    assert {await ask(gateway, red) for _ in range(5)} == {3}  # no share: the newest, as TensorFlow Serving
    for share, expected in ((0.0, {1}), (1.0, {2})):
        write_shares(folder, {"colours": share})
        assert {await ask(gateway, red) for _ in range(20)} == expected
    write_shares(folder, {"colours": 0.5})
    found = Counter([await ask(gateway, red) for _ in range(200)])
    assert set(found) == {1, 2}
    assert 60 <= found[2] <= 140  # 5.6 standard deviations: one run in 50 million is outside
    replace(folder / "canary.json", "{broken")
    assert {await ask(gateway, red) for _ in range(30)} == {1, 2}  # the last valid file counts
    write_shares(folder, {"colours": 1.5})
    assert {await ask(gateway, red) for _ in range(30)} == {1, 2}
    (folder / "canary.json").unlink()
    assert {await ask(gateway, red) for _ in range(5)} == {3}


@pytest.mark.shows("KERASERVE_CANARY_FILE")
async def test_canary_file_names_another_file(
    make, serve_faults, versions: ThreeVersions, folder: Path, tmp_path: Path, red: bytes
) -> None:
    elsewhere = tmp_path / "shares.json"
    elsewhere.write_text('{"colours": 1.0}')
    address = await serve_faults({services.CLASSIFY: versions.classify})
    config = folder / "models.config"
    gateway = await make(address, models="", model_config_file=config, canary_file=elsewhere)
    assert await ask(gateway, red) == 2


@pytest.mark.shows("X-Model-Label")
async def test_a_named_version_or_label_comes_before_the_share(gateway, folder: Path, red: bytes) -> None:
    write_shares(folder, {"colours": 1.0})
    assert await ask(gateway, red, "/v1/models/colours/versions/1/images:classify") == 1
    assert await ask(gateway, red, "/v1/models/colours/labels/third/images:classify") == 3
    assert await ask(gateway, red, **{"x-model-label": "stable"}) == 1
    assert await ask(gateway, red, **{"x-model-label": "third"}) == 3
    path = "/v1/models/colours/versions/1/images:classify"
    assert await ask(gateway, red, path, **{"x-model-label": "third"}) == 1
    unknown = await gateway.post(IMAGES, content=red, headers={"x-model-label": "unknown"})
    assert unknown.status_code == 404


async def test_a_version_that_is_not_served_is_replaced_by_the_next(
    gateway, folder, versions, red: bytes
) -> None:
    write_shares(folder, {"colours": 1.0})
    versions.available = {1, 3}
    assert await ask(gateway, red) == 1
    versions.available = {3}
    assert await ask(gateway, red) == 3
    versions.available = set[int]({4})
    write_shares(folder, {})
    assert await ask(gateway, red) == 4
    text = (await gateway.get("/metrics")).text
    assert 'requests_total{code="200",model="colours",protocol="http",version="1"} 1.0' in text


@pytest.mark.shows("X-Sticky-Key")
def test_a_sticky_key_keeps_its_version_and_moves_only_to_the_canary(folder: Path) -> None:
    canary = Canary(folder / "canary.json", ConfiguredModels(folder / "models.config"))
    keys, before = [f"customer-{number}" for number in range(500)], set[str]()
    for share in (0.0, 0.1, 0.5, 1.0):
        write_shares(folder, {"colours": share})
        new = {key for key in keys if canary.versions("colours", key)[0] == 2}
        assert new == {key for key in keys if canary.versions("colours", key)[0] == 2}
        assert before <= new
        assert abs(len(new) / len(keys) - share) < 0.09
        before = new


async def test_a_file_is_checked_once_in_an_interval(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_file, "LOOK_SECONDS", 0.1)
    canary = Canary(folder / "canary.json", ConfiguredModels(folder / "models.config"))
    for share in (0.0, 1.0):
        before = canary.shares
        write_shares(folder, {"colours": share})
        assert canary.shares == before
        await asyncio.sleep(0.15)
        assert canary.shares == {"colours": share}


def test_a_change_is_seen_after_an_event_loop_has_ended(folder: Path) -> None:
    canary = Canary(folder / "canary.json", ConfiguredModels(folder / "models.config"))
    ended = asyncio.new_event_loop()
    ended.call_soon(lambda: (canary.shares, ended.stop()))
    ended.run_forever()
    ended.close()
    write_shares(folder, {"colours": 0.5})
    assert canary.shares == {"colours": 0.5}


@pytest.mark.shows("canary", "keraserve_gateway_canary_share")
async def test_grpc_has_the_same_share(gateway, folder: Path, free_port) -> None:
    address = f"127.0.0.1:{free_port()}"
    server = GrpcServer(address, gateway_of(gateway.app))
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = services.AsyncStub(channel)

        async def found(spec: m.ModelSpec, *metadata: tuple[str, str]) -> int:
            response = await stub.classify(m.ClassificationRequest(model_spec=spec), metadata=metadata)
            return response.model_spec.version.value

        unlabelled = m.model_spec("colours")
        assert await found(unlabelled) == 3
        write_shares(folder, {"colours": 0.5})
        assert {await found(unlabelled) for _ in range(40)} == {1, 2}
        assert len({await found(unlabelled, ("x-sticky-key", "me")) for _ in range(40)}) == 1
        write_shares(folder, {"colours": 1.0})
        assert await found(unlabelled) == 2
        assert await found(unlabelled, ("x-model-label", "stable")) == 1
        assert await found(m.model_spec("colours", version=3)) == 3
        assert await found(m.model_spec("colours", label="stable")) == 1
        for size in (8, 2 << 20):  # the long one's values are not parsed
            given = m.PredictRequest(model_spec=m.model_spec("colours", signature="some"))
            given.inputs["x"].tensor_content = bytes(size)
            response = await stub.predict(given)
            assert (response.model_spec.version.value, response.model_spec.signature_name) == (2, "some")
            assert response.outputs["x"] == given.inputs["x"]
        with pytest.raises(grpc.aio.AioRpcError, match="/a/file"):  # no other version is asked
            await stub.predict(m.PredictRequest(model_spec=m.model_spec("colours", signature="file")))
        differing = m.MultiInferenceRequest()
        for spec in (unlabelled, m.model_spec("colours", version=3)):
            differing.tasks.add().model_spec.CopyFrom(spec)
        with pytest.raises(grpc.aio.AioRpcError, match="the tasks name different versions") as rejected:
            await stub.multi_inference(differing)
        assert rejected.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        both = m.MultiInferenceRequest()
        both.tasks.add().model_spec.name = both.tasks.add().model_spec.name = "colours"
        response = await stub.multi_inference(both)
        assert [one.model_spec.version.value for one in response.results] == [2, 2]
    await server.stop(0)
    text = (await gateway.get("/metrics")).text
    assert 'requests_total{code="OK",model="colours",protocol="grpc",version="2"}' in text
    assert 'keraserve_gateway_canary_share{model="colours"} 1.0' in text


async def test_failures_count_for_the_version_that_was_chosen(make, serve_faults, folder: Path, red: bytes):
    async def fails(request: m.ClassificationRequest, context: Any) -> Any:
        await context.abort(grpc.StatusCode.INTERNAL, f"broken: {request.model_spec.version.value}")

    address = await serve_faults({services.CLASSIFY: fails})
    gateway = await make(address, models="", model_config_file=folder / "models.config")
    write_shares(folder, {"colours": 1.0})
    response = await gateway.post(IMAGES, content=red)
    assert (response.status_code, response.headers["x-model-version"]) == (500, "2")
    text = (await gateway.get("/metrics")).text
    assert 'requests_total{code="500",model="colours",protocol="http",version="2"} 1.0' in text
