"""The OpenAPI description: complete, and true for its own examples and for schemathesis' cases.

`make fuzz` runs more of these cases.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from keraserve_gateway.http import error_responses, openapi, openapi_bodies
from keraserve_gateway.http.scope import new_context

CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "2"))

# Clients are generated from these names.
OPERATIONS = {
    *("models", "classify_images", "classify_images_version", "classify_images_label"),
    *("explain_images", "explain_images_version", "explain_images_label"),
    *("status", "status_version", "status_label", "metadata", "metadata_version", "metadata_label"),
    *("card", "card_version", "card_label"),
    *("predict", "predict_version", "predict_label", "classify", "classify_version", "classify_label"),
    *("regress", "regress_version", "regress_label"),
    *("inference_server", "inference_live", "inference_ready", "inference_model", "inference_model_version"),
    *("inference_model_ready", "inference_model_ready_version", "infer", "infer_version"),
    *("inference_model_label", "inference_model_ready_label", "infer_label"),
    *("livez", "readyz", "healthz", "metrics"),
}


@pytest.fixture
async def description(gateway: httpx2.AsyncClient) -> dict[str, Any]:
    return (await gateway.get("/openapi.json")).json()


def operations(description: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.mark.shows("GET /openapi.json")
def test_every_operation_is_named_and_described(description: dict[str, Any]) -> None:
    found = [operation for _, _, operation in operations(description)]
    assert sorted(operation["operationId"] for operation in found) == sorted(OPERATIONS)
    for operation in found:
        assert len(operation["tags"]) == 1
        assert operation["summary"]
        assert operation["responses"]["200"]["content"], operation["operationId"]
        for parameter in operation.get("parameters", []):
            assert parameter["description"]
    text = json.dumps(description)
    assert "422" not in text
    assert "HTTPValidationError" not in text
    for reference in set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', text)):
        assert reference in description["components"]["schemas"]
    assert text.count('"$ref"') == text.count('"$ref": "#/components/schemas/')


@pytest.mark.shows("GET /openapi.json")
def test_every_body_and_every_rejection_has_an_example(description: dict[str, Any]) -> None:
    for method, path, operation in operations(description):
        body = operation.get("requestBody", {}).get("content", {})
        assert "application/json" not in body or body["application/json"]["examples"], path
        assert (method == "post") == bool(body), path
        for status, response in operation["responses"].items():
            assert "X-Request-ID" in response["headers"]
            if status != "200":
                (content,) = response["content"].values()
                assert content["example"], (path, status)


@pytest.mark.parametrize("status", openapi_bodies.REJECTIONS)
def test_examples_of_rejections_are_what_is_sent(status: int) -> None:
    _, error = openapi_bodies.REJECTIONS[status]
    for path, described in (
        ("/v1/models", openapi_bodies.problems(status)),
        ("/v2", openapi_bodies.tensorflow_errors(status)),
    ):
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": []}
        new_context(scope, 1).request_id = "5f0c7d1e9a0b4c5d8e7f6a5b4c3d2e1f"
        sent = error_responses.failure(scope, error)
        assert sent.status_code == status
        (content,) = described[status]["content"].values()
        assert json.loads(bytes(sent.body)) == content["example"]
        assert ("retry-after" in sent.headers) == ("Retry-After" in described[status].get("headers", {}))


@pytest.mark.shows("GET /openapi.json")
async def test_examples_of_requests_get_200(gateway: httpx2.AsyncClient, description: dict[str, Any]) -> None:
    sent = 0
    for method, path, operation in operations(description):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None or "regress" in path:  # the model of the tests has no regression
            continue
        url = path.format(model="colours", version="1", label="stable")
        for example in content["examples"].values():
            response = await gateway.request(method, url, json=example["value"])
            assert response.status_code == 200, (url, response.text)
            sent += 1
    assert sent >= 8


@pytest.mark.shows("GET /openapi.json")
def test_schemathesis_finds_nothing(stack: Any, tmp_path: Path) -> None:
    """All of its checks, on all operations: no server error, and every response is as described."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG), "run"]
    command += [f"http://{stack.http}/openapi.json", "--checks", "all", "--max-examples", str(EXAMPLES)]
    command += ["--seed", "1", "--generation-database", "none", "--continue-on-failure"]
    command += ["--request-timeout", "60"]  # for a busy machine
    run = subprocess.run(command, capture_output=True, text=True, timeout=3000, cwd=tmp_path)
    print(run.stdout)
    assert run.returncode == 0, run.stdout[-8000:]
    generated = re.search(r"([\d,]+) generated, ([\d,]+) passed", run.stdout)
    assert generated, run.stdout[-1000:]
    assert int(generated[1].replace(",", "")) > 500


async def test_the_description_is_rendered_once(gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is long: requests for it again and again take no time from others."""
    rendered: list[Any] = []
    describe = openapi.describe
    monkeypatch.setattr(openapi, "describe", lambda app: (rendered.append(app), describe(app))[1])
    responses = [await gateway.get("/openapi.json") for _ in range(3)]
    assert len({response.content for response in responses}) == 1
    assert responses[0].headers["content-type"] == "application/json"
    assert len(rendered) == 1
