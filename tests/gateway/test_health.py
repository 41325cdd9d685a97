"""Alive, ready, metrics, request ids, and paths that do not exist."""

from typing import Any

import grpc
import httpx2
import pytest
import structlog

from keraserve_gateway.api_keys import keys
from keraserve_gateway.http.app import gateway_of
from keraserve_protocol import messages, model_config, services
from keraserve_protocol import messages as m


@pytest.mark.shows("GET /livez", "GET /readyz", "GET /healthz")
async def test_ready_when_every_model_is_served(gateway: httpx2.AsyncClient) -> None:
    for path in ("/readyz", "/healthz"):
        response = await gateway.get(path)
        assert (response.status_code, response.json()) == (200, {"ready": True, "reasons": []})
    assert (await gateway.get("/livez")).text == "ok\n"


@pytest.mark.shows("GET /readyz", "KERASERVE_MODELS")
async def test_not_ready_and_why(make, embedded: str, tmp_path) -> None:
    gateway = await make(embedded, models="colours,absent")
    response = await gateway.get("/readyz")
    assert response.status_code == 503
    assert response.json()["reasons"] == ["model 'absent' has no available version"]
    gateway = await make(embedded, models="")
    assert "no model is configured" in (await gateway.get("/readyz")).json()["reasons"][0]
    gateway = await make(embedded, models="", model_config_file=tmp_path / "later")
    assert "can't be read" in (await gateway.get("/readyz")).json()["reasons"][0]
    assert (await gateway.get("/v1/models")).status_code == 503


@pytest.mark.shows("GET /readyz")
async def test_not_ready_while_draining(gateway: httpx2.AsyncClient) -> None:
    assert await gateway_of(gateway.app).admission.drain(0.1)
    response = await gateway.get("/readyz")
    assert (response.status_code, response.json()["reasons"]) == (503, ["the gateway is stopping"])
    response = await gateway.get("/v1/models/colours")
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert (await gateway.get("/livez")).status_code == 200


@pytest.mark.shows("GET /v1/models")
async def test_list_of_models(make, embedded: str, models) -> None:
    gateway = await make(embedded, models="", model_config_file=models / "models.config")
    version = {"version": 1, "state": "AVAILABLE", "error": ""}
    assert (await gateway.get("/v1/models")).json() == {
        "models": [{"name": "colours", "versions": [version], "labels": {"stable": 1}}]
    }


@pytest.mark.shows("KERASERVE_MODEL_CONFIG_FILE")
async def test_models_config_is_read_again_when_it_changes(make, embedded: str, tmp_path) -> None:
    path = tmp_path / "models.config"

    def write(*names: str) -> None:
        config = messages.ModelServerConfig()
        for name in names:
            config.model_config_list.config.add(name=name, base_path="/x")
        (tmp_path / "new").write_text(model_config.render(config))
        (tmp_path / "new").replace(path)

    async def names() -> list[str]:
        return [one["name"] for one in (await gateway.get("/v1/models")).json()["models"]]

    write("colours")
    gateway = await make(embedded, models="", model_config_file=path)
    assert await names() == ["colours"]
    write("colours", "more")
    assert await names() == ["colours", "more"]
    path.write_text("this is { no config")
    assert await names() == ["colours", "more"]
    path.write_text("")
    assert await names() == ["colours", "more"]
    path.unlink()
    assert await names() == ["colours", "more"]
    write("colours")
    assert await names() == ["colours"]


@pytest.mark.shows(
    "GET /metrics",
    "keraserve_gateway_requests_total",
    "keraserve_gateway_request_seconds",
    "keraserve_gateway_images_total",
)
async def test_metrics_have_only_names_that_exist(gateway: httpx2.AsyncClient, red: bytes) -> None:
    for n in range(5):
        await gateway.post(f"/v1/models/made-up-{n}/images:classify", content=red)
        await gateway.get(f"/v1/models/made-up-{n}/versions/{n}")
        await gateway.post(f"/v1/models/colours/versions/{900 + n}:predict", json={"instances": [1]})
        await gateway.get(f"/v1/nothing-{n}")
        await gateway.get(f"/nothing-{n}")
    await gateway.post("/v1/models/colours/images:classify", files=[("f", red)] * 3)
    response = await gateway.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    text = response.text.replace(',protocol="http"', "")
    assert 'protocol="http"' in response.text
    assert 'keraserve_gateway_requests_total{code="404",model="",version=""} 15.0' in text
    assert 'keraserve_gateway_requests_total{code="404",model="colours",version=""} 5.0' in text
    assert 'keraserve_gateway_requests_total{code="200",model="colours",version="1"} 1.0' in text
    assert 'keraserve_gateway_images_total{model="colours",version="1"} 3.0' in text
    assert 'keraserve_gateway_request_seconds_bucket{le="+Inf",model="colours",version="1"} 1.0' in text
    assert "made-up" not in text
    assert "90" not in {line.split('version="')[1][:2] for line in text.splitlines() if 'version="' in line}


async def test_applications_have_separate_metrics(make, embedded: str) -> None:
    one, other = await make(embedded), await make(embedded)
    await one.get("/v1/models")
    assert "requests_total{" in (await one.get("/metrics")).text
    assert "requests_total{" not in (await other.get("/metrics")).text


@pytest.mark.shows("request")
async def test_a_log_line_for_each_request(make, embedded: str, tmp_path, red: bytes) -> None:
    key, entry = keys.make("shop")
    (tmp_path / "keys.toml").write_text(entry)
    gateway = await make(embedded, keys_file=tmp_path / "keys.toml")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"x-api-key": key, "x-request-id": "mine", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    path = "/v1/models/colours/images:classify"
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logged:
        await gateway.post(path, content=red, headers=headers)
        await gateway.post("/v1/models/nope/images:classify", content=red, headers=headers)
        await gateway.post("/v1/models/nope/images:classify?x=secret", content=red, headers=headers)
    found, absent, odd = logged
    assert found.pop("milliseconds") > 0
    assert found == {
        "event": "request",
        "log_level": "info",
        "method": "POST",
        "path": path,
        "status": 200,
        "model": "colours",
        "version": "1",
        "key": "shop",
        "request_id": "mine",
        "trace_id": trace,
    }
    assert (absent["status"], absent["model"], absent["error"]) == (404, "nope", "not-found")
    assert (odd["status"], odd["model"], odd["error"]) == (400, "nope", "bad-request")
    assert "secret" not in str(logged)
    assert key not in str(logged)


@pytest.mark.shows("X-Request-ID")
@pytest.mark.parametrize("given", ["abc", "a" * 128, "1-2.3:4_5"])
async def test_valid_request_ids_are_kept(gateway: httpx2.AsyncClient, given: str) -> None:
    response = await gateway.get("/livez", headers={"x-request-id": given})
    assert response.headers["x-request-id"] == given


@pytest.mark.shows("X-Request-ID")
@pytest.mark.parametrize("given", ["", "a" * 129, "a b", "<script>", 'x"y'])
async def test_other_request_ids_are_replaced(gateway: httpx2.AsyncClient, given: str) -> None:
    response = await gateway.get("/livez", headers={"x-request-id": given})
    assert len(response.headers["x-request-id"]) == 32
    assert response.headers["x-request-id"] != (await gateway.get("/livez")).headers["x-request-id"]


@pytest.mark.shows("404", "405")
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/models/", 404),
        ("POST", "/v1/models/colours:explain", 404),
        ("GET", "/v1/models/colours:predict", 405),
        ("DELETE", "/v1/models/colours", 405),
        ("PUT", "/v1/models/colours/images:classify", 405),
        ("GET", "/web/../settings.py", 404),
    ],
)
async def test_unknown_paths_and_methods_are_problems(
    gateway: httpx2.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await gateway.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert ("allow" in response.headers) is (status == 405)
    if status == 405:
        detail = f"this path takes {response.headers['allow']}, and not {method}"
        assert response.json()["detail"] == detail


async def test_series_of_ended_versions_are_removed(make, serve_faults) -> None:
    """Once they have been shown; all stay while the model server does not say."""
    states, away = {1: 30}, False

    async def status(request: m.GetModelStatusRequest, context: Any) -> m.GetModelStatusResponse:
        if away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        if not states:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
        response = m.GetModelStatusResponse()
        for version, state in states.items():
            response.model_version_status.add(version=version, state=state)
        return response

    async def predict(request: m.PredictRequest, context: Any) -> m.ClassificationResponse:
        response = m.ClassificationResponse(model_spec=m.model_spec("colours", version=max(states)))
        response.result.classifications.add().classes.add(label="red", score=1)
        return response

    address = await serve_faults({services.GET_MODEL_STATUS: status, services.CLASSIFY: predict})
    gateway = await make(address)

    async def shown() -> set[str]:
        text = (await gateway.get("/metrics")).text
        return {one for n in range(1, 30) for one in [str(n)] if f'version="{one}"' in text}

    for version in range(1, 4):
        states.update({version: 30, version - 1: 50} if version > 1 else {})
        requested = await gateway.post("/v1/models/colours:classify", json={"examples": [{"a": 1}]})
        assert requested.status_code == 200
    away = True
    assert await shown() == await shown() == {"1", "2", "3"}
    away = False
    assert await shown() == {"1", "2", "3"}
    assert await shown() == {"3"}
    assert (
        await gateway.post("/v1/models/colours:classify", json={"examples": [{"a": 1}]})
    ).status_code == 200
    del states[2]
    assert await shown() == {"3"}
    for version in range(4, 24):  # however many there are, those that live stay
        states[version] = 30
        await gateway.post("/v1/models/colours:classify", json={"examples": [{"a": 1}]})
    for _ in range(2):
        assert await shown() == {str(version) for version in range(3, 24)}
    states.clear()
    await shown()
    assert await shown() == set()
