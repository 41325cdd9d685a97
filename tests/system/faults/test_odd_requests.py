"""Odd and broken requests and responses get the right status, never 500."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from system.faults.fake_model_server import fake_model_server
from system.faults.product import Product, exchange, gateway_before, post, talk
from waiting import until

from keraserve_gateway.api_keys import keys
from keraserve_protocol import messages as m
from keraserve_protocol import services

MODEL = "/v1/models/colours"
JSON = "application/json"
GET = f"GET {MODEL} HTTP/1.1\r\nConnection: close\r\n"
PARENT = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DIGITS = "9" * 400
PIXELS = json.dumps({"inputs": [[[[230, 20, 20]] * 200]]}, separators=(",", ":"))


@pytest.mark.parametrize("state", ["a=1\tb", "a=ü", "a=" + "b" * 12_000], ids=["tab", "not ASCII", "12 KB"])
def test_an_invalid_tracestate_fails_no_request(product: Product, red: bytes, state: str) -> None:
    request = post(f"{MODEL}/images:classify", red, "image/png", PARENT, f"tracestate: {state}")
    status, said = exchange(product.port, request)
    assert status == 200, said
    assert json.loads(said)["predictions"][0]["classes"][0]["label"] == "red"


def test_a_time_limit_of_400_digits_is_read(either: Product, red: bytes) -> None:
    """As a header it is invalid; as a parameter, in microseconds, it is a very long time."""
    request = post(f"{MODEL}/images:classify", red, "image/png", f"X-Request-Timeout: {DIGITS}")
    status, said = exchange(either.port, request)
    assert status == 400
    assert b"X-Request-Timeout has to be a positive number" in said
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 1, 1, 3], "data": [230, 20, 20]}
    body = {"inputs": [tensor], "parameters": {"timeout": int(DIGITS)}}
    status, said = exchange(either.port, post("/v2/models/colours/infer", json.dumps(body).encode(), JSON))
    assert status == 200, said
    assert b"red" in said


@pytest.mark.parametrize("port", ["port", "rest_port"], ids=["gateway", "embedded"])
def test_a_long_list_with_a_bracket_in_the_wrong_place_is_rejected(product: Product, port: str) -> None:
    assert len(PIXELS) > 1024
    for body, expected in (
        (PIXELS, 200),
        (PIXELS.replace("20],[230", "20],230[", 1), 400),
        (PIXELS.replace("[[[[", "[[[[]", 1), 400),
        (PIXELS.replace("]]}", "]]]}", 1), 400),
    ):
        status, said = exchange(getattr(product, port), post(f"{MODEL}:predict", body.encode(), JSON))
        assert status == expected, (body[:80], said)


@pytest.mark.parametrize("port", ["port", "rest_port"], ids=["gateway", "embedded"])
def test_a_request_names_its_host_once(product: Product, port: str) -> None:
    assert talk(getattr(product, port), f"{GET}Host: x\r\n\r\n".encode()).startswith(b"HTTP/1.1 200 ")
    for hosts in ("", "Host: x\r\nHost: x\r\n", "Host: x\r\nHost: y\r\n"):
        said = talk(getattr(product, port), f"{GET}{hosts}\r\n".encode())
        assert said.startswith(b"HTTP/1.1 400 "), said
        assert said.count(b"HTTP/1.1 ") == 1


def test_a_key_in_a_path_is_not_logged(product: Product, tmp_path: Path) -> None:
    key, entry = keys.make("shop")
    (tmp_path / "keys.toml").write_text(entry)
    flags = (f"--model-config-file={product.models / 'models.config'}", f"--keys-file={tmp_path}/keys.toml")
    with gateway_before(product.upstream, tmp_path, *flags) as guarded:
        paths = (f"/v1/models/{key}", f"{MODEL}/labels/{key}", f"/{key}", f"/v1/models?key={key}")
        for path in paths:
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n"
            assert exchange(guarded.port, request.encode())[0] in (200, 404)
        log = guarded.gateway.log
        until(lambda: log.read_text().count('"event":"request"') >= len(paths), "no line about the requests")
        assert key[12:] not in log.read_text()
        assert f"/v1/models/{key[:12]}..." in log.read_text()


def outputs(dtype: int, *sizes: int, **content: Any) -> m.PredictResponse:
    response = m.PredictResponse()
    response.outputs["y"].MergeFrom(m.TensorProto(dtype=dtype, **content))  # type: ignore[arg-type]
    for size in sizes:
        response.outputs["y"].tensor_shape.dim.add(size=size)
    return response


MALFORMED: dict[str, Callable[[], m.PredictResponse]] = {
    "no output": m.PredictResponse,
    "too few values": lambda: outputs(m.DataType.DT_FLOAT, 1 << 31, float_val=[1]),
    "too many values": lambda: outputs(m.DataType.DT_FLOAT, 2, float_val=[1, 2, 3]),
    "a negative size": lambda: outputs(m.DataType.DT_FLOAT, -1, -1, float_val=[1]),
    "half a value": lambda: outputs(m.DataType.DT_FLOAT, 2, tensor_content=b"1234567"),
    "an unknown type": lambda: outputs(9999, 1),
}


def test_malformed_responses_of_a_model_server_are_502(tmp_path: Path, red: bytes) -> None:
    """Over every path."""
    given = [m.PredictResponse()]
    faults = {
        services.PREDICT: lambda *_: given[0],
        services.CLASSIFY: lambda *_: m.ClassificationResponse(),
        services.REGRESS: lambda *_: m.RegressionResponse(),
    }
    infer = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}
    requests = [
        ("/v1/models/any:predict", {"inputs": [1]}),
        ("/v1/models/any:predict", {"instances": [1]}),
        ("/v2/models/any/infer", infer),
    ]
    examples = {"examples": [{"a": 1}]}
    with (
        fake_model_server(faults) as address,
        gateway_before(address, tmp_path, "--models=any") as product,
    ):
        for name, make in MALFORMED.items():
            given[0] = make()
            for path, body in requests:
                status, said = exchange(product.port, post(path, json.dumps(body).encode(), JSON))
                assert status == 502, (name, path, body, said)
        for call in ("classify", "regress"):
            request = post(f"/v1/models/any:{call}", json.dumps(examples).encode(), JSON)
            assert exchange(product.port, request)[0] == 502
        assert exchange(product.port, post("/v1/models/any/images:classify", red, "image/png"))[0] == 502
