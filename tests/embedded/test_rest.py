"""The REST port, over a real socket: TensorFlow Serving's paths, bodies, statuses and messages."""

import base64
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from embedded.conftest import settings

from keraserve_embedded.api import rest_app
from keraserve_embedded.engine import Engine, EngineOptions
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_embedded.models.repository import VersionPolicy
from keraserve_embedded.process import server as server_module
from keraserve_embedded.process.server import Server

Json = dict[str, Any]


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


@pytest.fixture(scope="module")
def engine(models: Path, many: Path) -> Iterator[Engine]:
    made = Engine(EngineOptions(poll_seconds=0.05))
    entries = [ModelEntry(name, (many / name,)) for name in ("numbers", "regressor", "waiting")]
    colours = (models / "colours",)
    assert made.start([ModelEntry("colours", colours, VersionPolicy(), {"stable": 1}), *entries])
    yield made
    made.stop()


Start = Callable[..., tuple[Server, httpx2.Client]]


@pytest.fixture(scope="module")
def start(engine: Engine) -> Iterator[Start]:
    """Open a REST port before the engine; gives the server and a client."""
    clients: list[httpx2.Client] = []
    servers: list[Server] = []

    def one(**given: object) -> tuple[Server, httpx2.Client]:
        server = Server(engine, settings(rest_api_port=0, **given))
        server.start()
        servers.append(server)
        clients.append(httpx2.Client(base_url=f"http://127.0.0.1:{server.rest_port}", timeout=30))
        return server, clients[-1]

    yield one
    for client in clients:
        client.close()
    for server in servers:
        server.drain()


@pytest.fixture(scope="module")
def rest(start: Start) -> httpx2.Client:
    return start()[1]


def failure(response: httpx2.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    return response.status_code, response.json()["error"]


@pytest.mark.parametrize("path", ["", "/versions/1", "/labels/stable"])
def test_every_way_to_name_a_model(rest: httpx2.Client, red: bytes, path: str) -> None:
    model = f"/v1/models/colours{path}"
    version = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert rest.get(model).json() == {"model_version_status": [version]}
    assert rest.get(f"{model}/metadata").json()["model_spec"]["name"] == "colours"
    body: Json = {"signature_name": "image_bytes", "instances": [b64(red)]}
    assert rest.post(f"{model}:predict", json=body).json()["predictions"][0]["label"] == "red"
    body = {"signature_name": "classify", "examples": [{"image/encoded": b64(red)}]}
    assert rest.post(f"{model}:classify", json=body).json()["results"][0][0] == ["red", 1.0]


def test_metadata_has_every_signature(rest: httpx2.Client) -> None:
    metadata = rest.get("/v1/models/numbers/metadata").json()
    assert metadata["model_spec"] == {"name": "numbers", "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "halves", "shapes"} <= set(signatures)
    assert signatures["shapes"]["inputs"]["square"]["dtype"] == "DT_DOUBLE"


def test_rows_and_columns(rest: httpx2.Client) -> None:
    rows = {"instances": [{"a": 3, "b": 1}, {"a": 5, "b": 5}]}
    assert rest.post("/v1/models/numbers:predict", json=rows).json() == {
        "predictions": [{"difference": 2.0, "total": 4.0}, {"difference": 0.0, "total": 10.0}]
    }
    columns = {"inputs": {"a": [3, 5], "b": [1, 5]}}
    assert rest.post("/v1/models/numbers:predict", json=columns).json() == {
        "outputs": {"difference": [2.0, 0.0], "total": [4.0, 10.0]}
    }


def test_a_scalar_input_odd_names_and_a_text_output(rest: httpx2.Client) -> None:
    body = {"signature_name": "shapes", "inputs": {"scalar": 3, "square": [[1, 2], [3, 4]]}}
    assert rest.post("/v1/models/numbers:predict", json=body).json()["outputs"] == {
        "scaled-square/0": [[3.0, 6.0], [9.0, 12.0]],
        "text": "3",
    }


def test_regress(rest: httpx2.Client) -> None:
    body = {"examples": [{"x": [1.0, 3.0]}, {"x": [0.0, 1.0]}]}
    assert rest.post("/v1/models/regressor:regress", json=body).json() == {"results": [2.0, 0.5]}


MISSING = [
    ("nope:predict", {"instances": [1]}, "Servable not found for request: Latest(nope)"),
    ("nope:classify", {"examples": [{"a": 1}]}, "Servable not found for request: Latest(nope)"),
    (
        "colours/versions/7:predict",
        {"instances": [1]},
        "Servable not found for request: Specific(colours, 7)",
    ),
    ("colours/labels/none:predict", {"instances": [1]}, "Unrecognized servable version label: none"),
]
UNKNOWN: Json = {"signature_name": "none"}
IMAGE: Json = {"signature_name": "image_bytes"}
WRONG = [
    ("colours:predict", {**UNKNOWN, "instances": [1]}, '"none" not found in signature def'),
    ("colours/versions/x:predict", {}, "Malformed request: POST /v1/models/colours/versions/x:predict"),
    (f"colours/versions/{2**63}:predict", {}, f"Failed to convert version: {2**63} to numeric."),
    (f"colours/versions/{'1' * 5000}:predict", {}, f"Failed to convert version: {'1' * 40} to numeric."),
    ("colours:explain", {}, "Malformed request: POST /v1/models/colours:explain"),
    ("colours:predict", {"instances": []}, "at least one"),
    ("colours:predict", {"instances": [1], "inputs": [1]}, "not both"),
    ("colours:predict", {}, "'instances' or 'inputs'"),
    ("colours:predict", {"instances": [[1], [1, 2]]}, "differ in length"),
    ("colours:predict", {"instances": [[[["x"]]]]}, "a string where uint8 is expected"),
    ("colours:predict", {"instances": [[[[300]]]]}, "range"),
    ("colours:predict", {"instances": [[1, 2]]}, "Invalid reduction dimension"),
    ("numbers:predict", {"instances": [{"a": 1}]}, "instances[0] has to have the keys a, b"),
    ("numbers:predict", {"instances": [{"a": 1, "b": 2, "c": 3}]}, "instances[0] has to have the keys"),
    ("colours:predict", {**IMAGE, "instances": [{"b64": "?"}]}, "not base64"),
    ("colours:predict", {**IMAGE, "instances": [b64(b"x")]}, "Unknown image"),
    ("colours:classify", {"examples": []}, "at least one"),
    ("colours:classify", {"examples": [{"a": [1, "b"]}]}, "one kind"),
    ("colours:regress", {"examples": [{"a": 1}]}, "Expected one output Tensors, found 2"),
    ("colours:classify", {**UNKNOWN, "examples": [{"a": 1}]}, "No signature was found with the name: none"),
]


@pytest.mark.parametrize(
    ("path", "body", "said", "status"), [*((*one, 404) for one in MISSING), *((*one, 400) for one in WRONG)]
)
def test_wrong_bodies_and_names_are_rejected(
    rest: httpx2.Client, path: str, body: Json, said: str, status: int
) -> None:
    response = failure(rest.post(f"/v1/models/{path}", json=body))
    assert response[0] == status
    assert said in response[1]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff\xfe\xfa", b"[" * 100_000, b'{"instances":' + b"[" * 300]
)
def test_bodies_that_are_no_json_are_rejected(rest: httpx2.Client, body: bytes) -> None:
    status, said = failure(rest.post("/v1/models/colours:predict", content=body))
    assert status == 400
    assert "JSON" in said


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/nope", 404, "Could not find any versions of model nope"),
        ("GET", "/v1/models/nope/metadata", 404, "Servable not found for request: Latest(nope)"),
        ("GET", "/v1/models/colours/versions/9", 404, "Could not find version 9 of model colours"),
        ("GET", "/v1/models/colours/labels/x", 404, "Unrecognized servable version label: x"),
        ("GET", "/v1/models/colours/labels/x/metadata", 404, "Unrecognized servable version label: x"),
        ("GET", "/v1/models/colours:predict", 400, "Malformed request: GET /v1/models/colours:predict"),
        ("POST", "/v1/models/colours", 400, "Malformed request: POST /v1/models/colours"),
        ("DELETE", "/v1/models/colours", 400, "Malformed request: DELETE /v1/models/colours"),
        ("GET", "/v1/nothing", 400, "Malformed request: GET /v1/nothing"),
        ("GET", "/", 404, "Not found: /"),
        ("GET", "/monitoring/prometheus/metrics", 404, "Not found: /monitoring/prometheus/metrics"),
    ],
)
def test_wrong_paths_are_rejected(
    rest: httpx2.Client, method: str, path: str, status: int, said: str
) -> None:
    assert failure(rest.request(method, path)) == (status, said)


def test_paths_are_read_as_tensorflow_serving_reads_them(rest: httpx2.Client) -> None:
    assert rest.get("/V1/Models/colours").status_code == 200
    assert rest.get("/v1/models/colours?verbose=1").status_code == 200
    assert rest.get("/v1/models/%63olours/labels/%73table").status_code == 200


def test_a_body_may_be_packed(rest: httpx2.Client) -> None:
    body = json.dumps({"inputs": {"a": [1], "b": [2]}}).encode()
    packed = {"content-encoding": "gzip"}
    call = "/v1/models/numbers:predict"
    assert rest.post(call, content=gzip.compress(body), headers=packed).json()["outputs"]["total"] == [3.0]
    assert "not gzip" in failure(rest.post(call, content=body, headers=packed))[1]
    assert "cut off" in failure(rest.post(call, content=gzip.compress(body)[:-9], headers=packed))[1]


def raw(client: httpx2.Client, *pieces: bytes) -> bytes:
    """Send bytes, one piece after the other has arrived, and read until the server closes."""
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(0.1)
        return b"".join(iter(lambda: connection.recv(65536), b""))


HEAD = b"POST /v1/models/numbers:predict HTTP/1.1\r\nHost: x\r\n"
INSIDE = b"GET /v1/models/numbers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


SUM = json.dumps({"inputs": {"a": [3], "b": [1]}}).encode()
LAST = INSIDE.replace(b"numbers", b"last")


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket", b"TLS/1.0"])
def test_an_offer_of_another_protocol_is_ignored(rest: httpx2.Client, upgrade: bytes, later: bool) -> None:
    """As curl --http2 and Java's HttpClient send it; the body is kept, and is no request of its own."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + upgrade + b"\r\nHTTP2-Settings: AA\r\n"
    for body, status in ((SUM, b"200"), (INSIDE, b"400")):
        head = HEAD + offer + b"Content-Length: %d\r\n\r\n" % len(body)
        response = raw(rest, head, body, LAST) if later else raw(rest, head + body + LAST)
        assert response.count(b"HTTP/1.1 ") == 2, response
        first, last = response.split(b"HTTP/1.1 ")[1:]
        assert first.startswith(status), response
        said = json.loads(first.partition(b"\r\n\r\n")[2])
        if body == SUM:
            assert said["outputs"] == {"difference": [2.0], "total": [4.0]}
        else:
            assert "not JSON" in said["error"]
        assert last.startswith(b"404"), response
        assert b"any versions of model last" in last


@pytest.mark.parametrize(
    "shape",
    [
        b"Content-Length: 4\r\nContent-Length: 0\r\n\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length:\r\n 4\r\n\r\n",
        b"Host: x\r\n\r\n",
    ],
)
def test_ambiguous_requests_are_rejected(rest: httpx2.Client, shape: bytes) -> None:
    head, _, body = raw(rest, HEAD + shape + INSIDE).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert "or the request is malformed" in json.loads(body)["error"]


def test_a_trailer_is_no_header(rest: httpx2.Client) -> None:
    body = json.dumps({"inputs": {"a": [1], "b": [2]}}).encode()
    chunks = b"%x\r\n%b\r\n0\r\nContent-Encoding: gzip\r\n\r\n" % (len(body), body)
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(rest, head, chunks).startswith(b"HTTP/1.1 200 ")


def test_a_body_has_a_limit(rest: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_app, "_MOST_BYTES", 1000)
    call, packed = "/v1/models/numbers:predict", {"content-encoding": "gzip"}
    for body, headers in ((bytes(1001), {}), (gzip.compress(bytes(1001)), packed)):
        rejected = rest.post(call, content=body, headers=headers)
        assert failure(rejected) == (413, "the body has more than 1000 bytes")


def test_a_defect_is_one_line(rest: httpx2.Client, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(engine, "status", defect)
    assert failure(rest.get("/v1/models/colours")) == (500, "internal error: KeyError")


def wait(seconds: float) -> Json:
    return {"inputs": [seconds]}


WAIT = "/v1/models/waiting:predict"


def test_a_request_that_takes_too_long(start: Start) -> None:
    rest = start(rest_seconds=0.2)[1]
    status, said = failure(rest.post(WAIT, json=wait(0.8)))
    assert status == 504
    assert said == "Timed out: no response within 0.2 s (--rest_api_timeout_in_ms)"
    assert rest.get("/v1/models/colours").status_code == 200


def test_as_many_threads_as_are_set(start: Start) -> None:
    rest = start(rest_api_num_threads=1)[1]
    began = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: rest.post(WAIT, json=wait(0.2)), range(3)))
    assert time.monotonic() - began >= 0.6  # one after the other


def test_too_many_waiting_requests_are_rejected(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_WAITING_REQUESTS", 0)
    rest = start(rest_api_num_threads=1)[1]
    with ThreadPoolExecutor(2) as pool:
        responses = list(pool.map(lambda _: rest.post(WAIT, json=wait(1.0)), range(2)))
    first, second = sorted(responses, key=lambda response: response.status_code)
    assert first.status_code == 200
    assert failure(second) == (429, "0 requests wait already")
    assert second.headers["retry-after"] == "1"


def test_draining_completes_running_requests_and_rejects_new_ones(start: Start) -> None:
    server, rest = start()
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(rest.post, WAIT, json=wait(1.0))
        time.sleep(0.3)
        draining = threading.Thread(target=server.drain)
        draining.start()
        time.sleep(0.2)
        rejected = rest.get("/v1/models/colours")
        assert failure(rejected) == (503, "the server is stopping")
        assert rejected.headers["retry-after"] == "1"
        assert running.result().status_code == 200
        draining.join(5)
    assert not draining.is_alive()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{server.rest_port}/v1/models/colours")
