"""TensorFlow Serving's replies, as its documentation and its own tests record them, from a real gateway.

The models are the ones that it uses there: see `documented_models`. Compared as JSON: white space may differ.
"""

import gzip
import json
from typing import Any

import httpx2
import pytest

TWO, THREE = "/v1/models/half_plus_two", "/v1/models/half_plus_three"
AVAILABLE = {
    "model_version_status": [
        {"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
}
REGRESS = {"signature_name": "tensorflow/serving/regress", "examples": [{"x": 1.0}, {"x": 2.0}]}
FROM_80 = {"signature_name": "regress_x_to_y", "examples": [{"x": 80.0}]}
FROM_20 = {"signature_name": "classify_x_to_y", "examples": [{"x": 20.0}]}
FROM_10 = {"signature_name": "classify_x_to_y", "examples": [{"x": 10.0}]}
RECORDED: list[tuple[str, str, Any, int, Any]] = [
    ("GET", THREE, None, 200, AVAILABLE),
    ("GET", f"{TWO}/versions/123", None, 200, AVAILABLE),
    ("GET", f"{TWO}/labels/stable", None, 200, AVAILABLE),
    ("POST", f"{THREE}:predict", {"instances": [1.0, 2.0, 5.0]}, 200, {"predictions": [3.5, 4.0, 5.5]}),
    ("POST", f"{THREE}:predict", {"inputs": [3.0, 4.0]}, 200, {"outputs": [4.5, 5.0]}),
    (
        "POST",
        f"{THREE}:predict",
        {"instances": [[1.0, 2.0], [3.0, 4.0]]},
        200,
        {"predictions": [[3.5, 4.0], [4.5, 5.0]]},
    ),
    ("POST", f"{TWO}:predict", {"instances": [1.0, 2.0, 5.0]}, 200, {"predictions": [2.5, 3.0, 4.5]}),
    ("POST", f"{TWO}:predict", {"instances": [{"x": [1.0]}]}, 200, {"predictions": [[2.5]]}),
    ("POST", f"{TWO}/versions/123:predict", {"inputs": {"x": [[3.0]]}}, 200, {"outputs": [[3.5]]}),
    ("POST", f"{THREE}:regress", REGRESS, 200, {"results": [3.5, 4.0]}),
    ("POST", f"{TWO}:regress", FROM_80, 200, {"results": [42.0]}),
    ("POST", f"{TWO}/labels/stable:regress", FROM_80, 200, {"results": [42.0]}),
    ("POST", f"{TWO}:classify", FROM_20, 200, {"results": [[["", 12.0]]]}),
    ("POST", f"{TWO}/labels/stable:classify", FROM_10, 200, {"results": [[["", 7.0]]]}),
    (
        "POST",
        "/v1/models/half:predict",
        {"instances": [1.0, 5.0]},
        404,
        {"error": "Servable not found for request: Latest(half)"},
    ),
    (
        "POST",
        f"{TWO}/versions/99:predict",
        {"instances": [[1.0]]},
        404,
        {"error": "Servable not found for request: Specific(half_plus_two, 99)"},
    ),
    # TensorFlow Serving sends 400 with the same message; the gateway 404, as for all unknown names.
    (
        "POST",
        f"{TWO}/labels/none:predict",
        {"instances": [[1.0]]},
        404,
        {"error": "Unrecognized servable version label: none"},
    ),
]


@pytest.fixture
async def client(stack: Any) -> Any:
    async with httpx2.AsyncClient(base_url=f"http://{stack.http}") as opened:
        yield opened


@pytest.mark.shows(
    "GET /v1/models/{m}",
    "POST /v1/models/{m}:predict",
    "POST /v1/models/{m}:classify",
    "POST /v1/models/{m}:regress",
)
@pytest.mark.parametrize(("method", "path", "body", "status", "reply"), RECORDED)
async def test_replies_equal_the_recorded_ones(
    client: httpx2.AsyncClient, method: str, path: str, body: Any, status: int, reply: Any
) -> None:
    # As `curl -d` sends it, without saying that it is JSON.
    headers = {"content-type": "application/x-www-form-urlencoded"} if body else {}
    content = json.dumps(body) if body else None
    response = await client.request(method, path, content=content, headers=headers)
    assert (response.status_code, response.json()) == (status, reply)
    assert response.headers["content-type"] == "application/json"


def tensor(name: str, dtype: str, sizes: list[str] | None) -> dict[str, Any]:
    dims = [{"size": size, "name": ""} for size in sizes or []]
    shape = {"dim": dims, "unknown_rank": sizes is None}
    return {"name": f"{name}:0", "dtype": dtype, "tensor_shape": shape}


def signature(method: str, given: dict[str, Any], gives: dict[str, Any]) -> dict[str, Any]:
    name = f"tensorflow/serving/{method}"
    return {"inputs": given, "outputs": gives, "method_name": name, "defaults": {}}


@pytest.mark.shows("GET /v1/models/{m}/metadata")
async def test_metadata_equals_the_recorded_one(client: httpx2.AsyncClient) -> None:
    example = {"inputs": tensor("tf_example", "DT_STRING", None)}
    x, x2, y, y2, y3 = (tensor(name, "DT_FLOAT", ["-1", "1"]) for name in ("x", "x2", "y", "y2", "y3"))
    signatures = {
        "serving_default": signature("predict", {"x": x}, {"y": y}),
        "regress_x_to_y": signature("regress", example, {"outputs": y}),
        "regress_x_to_y2": signature("regress", example, {"outputs": y2}),
        "regress_x2_to_y3": signature("regress", {"inputs": x2}, {"outputs": y3}),
        "classify_x_to_y": signature("classify", example, {"scores": y}),
        "classify_x2_to_y3": signature("classify", {"inputs": x2}, {"scores": y3}),
    }
    for version in ("", "/versions/123", "/labels/stable"):
        response = await client.get(f"{TWO}{version}/metadata")
        assert response.json() == {
            "model_spec": {"name": "half_plus_two", "signature_name": "", "version": "123"},
            "metadata": {"signature_def": {"signature_def": signatures}},
        }


@pytest.mark.shows("not-found")
@pytest.mark.parametrize("path", ["", "/metadata"])
@pytest.mark.parametrize(
    "named", ["half", "half/versions/1", "half_plus_two/versions/9", "half_plus_two/labels/x"]
)
async def test_unknown_models_versions_and_labels_are_404(
    client: httpx2.AsyncClient, named: str, path: str
) -> None:
    response = await client.get(f"/v1/models/{named}{path}")
    assert (response.status_code, set(response.json())) == (404, {"error"})


@pytest.mark.shows("a body of any", "too-large")
async def test_forms_of_a_body(client: httpx2.AsyncClient) -> None:
    body, reply = b'{"instances": [1.0, 2.0, 5.0]}', {"predictions": [3.5, 4.0, 5.5]}
    for kind in ("application/json", "application/json; charset=utf-8", "text/plain", None):
        headers = {"content-type": kind} if kind else {}
        assert (await client.post(f"{THREE}:predict", content=body, headers=headers)).json() == reply
    headers = {"content-encoding": "gzip"}
    response = await client.post(f"{THREE}:predict", content=gzip.compress(body), headers=headers)
    assert response.json() == reply
    bomb = gzip.compress(b" " * (17 << 20))
    response = await client.post(f"{THREE}:predict", content=bomb, headers=headers)
    assert (response.status_code, set(response.json())) == (413, {"error"})

    async def chunks() -> Any:
        yield body[:7]
        yield body[7:]

    assert (await client.post(f"{THREE}:predict", content=chunks())).json() == reply


@pytest.mark.shows("names with percent signs")
async def test_names_in_a_path(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/v1/models/half%5Fplus%5Ftwo")).json() == AVAILABLE
    response = await client.post("/v1/models/half_plus_three%3Apredict", json={"instances": [1.0]})
    assert response.json() == {"predictions": [3.5]}
    paths = (f"{TWO}/", f"{TWO}/versions", f"{TWO}/version/1", "/v1/models//metadata", "/v1/models/a%2Fb")
    for path in paths:
        response = await client.get(path)
        assert response.status_code == 404, path  # and no redirect, in which clients lose the body
        assert response.headers["content-type"] == "application/problem+json"
    response = await client.get(f"{TWO}/labels/a:b")
    assert (response.status_code, set(response.json())) == (404, {"error"})


@pytest.mark.shows("any GET by HEAD", "405")
async def test_methods(client: httpx2.AsyncClient) -> None:
    shown = await client.get(TWO)
    head = await client.head(TWO)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(shown.content))
    assert (await client.head("/livez")).status_code == 200
    assert (await client.head("/v1/models/half")).status_code == 404
    for path, allowed in ((TWO, "GET, HEAD, OPTIONS"), (f"{TWO}:predict", "POST, OPTIONS")):
        for method in ("PUT", "DELETE", "PATCH", "TRACE"):
            response = await client.request(method, path)
            assert (response.status_code, response.headers["allow"]) == (405, allowed)
        response = await client.options(path)
        assert (response.status_code, response.headers["allow"], response.content) == (204, allowed, b"")
    assert (await client.head(f"{TWO}:predict")).status_code == 405
    assert (await client.get(f"{TWO}:predict")).status_code == 405
    assert (await client.options("/v1/nothing")).status_code == 404
