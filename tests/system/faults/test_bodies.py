"""Small bodies that expand to large ones, or cost parsers much: they are rejected in little memory."""

import gzip
import threading
from collections.abc import Iterator

import pytest
from system.faults.product import Product, exchange, post

from keraserve_client import Client

MODEL = "/v1/models/colours"
IMAGES = f"{MODEL}/images:classify"
LARGE = (16 << 20) - 4000  # just below the gateway's limit on bytes
JSON = "application/json"
FORM = "multipart/form-data; boundary=a"
MEBIBYTES = 400  # for one such body, of a container's 1024


def filled(head: bytes, unit: bytes, tail: bytes) -> bytes:
    return head + unit * (LARGE // len(unit)) + tail


def numbered(unit: bytes) -> bytes:
    return b",".join(unit % number for number in range(LARGE // (len(unit) + 6)))


BODIES = {
    "examples": (f"{MODEL}:classify", JSON, lambda: filled(b'{"examples":[', b'{"a":1},', b'{"a":1}]}')),
    "examples to regress": (f"{MODEL}:regress", JSON, lambda: filled(b'{"examples":[', b'{"a":1},', b"{}]}")),
    "empty examples": (f"{MODEL}:classify", JSON, lambda: filled(b'{"examples":[', b"{},", b"{}]}")),
    "features": (f"{MODEL}:classify", JSON, lambda: b'{"examples":[{' + numbered(b'"%x":1') + b"}]}"),
    "a long feature": (f"{MODEL}:classify", JSON, lambda: filled(b'{"examples":[{"a":[', b"1,", b"1]}]}")),
    "keys": (f"{MODEL}:predict", JSON, lambda: b"{" + numbered(b'"%x":1') + b"}"),
    "brackets": (f"{MODEL}:predict", JSON, lambda: filled(b'{"instances":', b"[", b"")),
    "strings": (f"{MODEL}:predict", JSON, lambda: filled(b'{"instances":[', b'"",', b'""]}')),
    "objects": (f"{MODEL}:predict", JSON, lambda: filled(b'{"instances":[', b'{"x":1},', b"{}]}")),
    "long numbers": (f"{MODEL}:predict", JSON, lambda: filled(b'{"instances":[', b"9" * 4000 + b",", b"9]}")),
    "spaces": (f"{MODEL}:predict", JSON, lambda: filled(b"{", b" ", b"}")),
    "inputs": (
        "/v2/models/colours/infer",
        JSON,
        lambda: b'{"inputs":[' + numbered(b'{"name":"%x","datatype":"FP32","shape":[1],"data":[1]}') + b"]}",
    ),
    "nearly boundaries": (IMAGES, FORM, lambda: filled(b"--a\r\n\r\n", b"\r\n--ax", b"\r\n--a--\r\n")),
    "carriage returns": (IMAGES, FORM, lambda: filled(b"--a\r\n\r\n", b"\r", b"\r\n--a--\r\n")),
}  # fmt: skip


@pytest.fixture
def failures_of_others(product: Product, red: bytes) -> Iterator[list[str]]:
    """Another client sends requests meanwhile; its failures."""
    over, failures, responded = threading.Event(), [], threading.Event()

    def classify() -> None:
        with Client(product.url, retries=0) as client:
            while not over.wait(0.05):
                try:
                    client.classify("colours", red)
                    responded.set()
                except Exception as error:
                    failures.append(repr(error))

    thread = threading.Thread(target=classify)
    thread.start()
    responded.wait(60)
    yield failures
    over.set()
    thread.join(60)


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_expands_is_rejected_in_little_memory(
    product: Product, failures_of_others: list[str], body: str
) -> None:
    path, media_type, make = BODIES[body]
    small = gzip.compress(make(), 1)
    before = product.gateway.mebibytes()
    product.gateway.forget_peak()
    status, said = exchange(product.port, post(path, small, media_type, "Content-Encoding: gzip"))
    assert 400 <= status < 500, said[:300]
    assert product.gateway.mebibytes("VmHWM") - before < MEBIBYTES
    assert failures_of_others == []
    assert product.status("/readyz") == 200


def test_a_gzip_bomb_ends_at_the_limit_on_bytes(product: Product, failures_of_others: list[str]) -> None:
    """It has a gigabyte of zeros in a megabyte."""
    small = gzip.compress(bytes(32 << 20)) * 32
    before = product.gateway.mebibytes()
    product.gateway.forget_peak()
    for path in (f"{MODEL}:predict", IMAGES, "/v2/models/colours/infer"):
        status, _ = exchange(product.port, post(path, small, JSON, "Content-Encoding: gzip"))
        assert status == 413
    assert product.gateway.mebibytes("VmHWM") - before < MEBIBYTES
    assert failures_of_others == []
