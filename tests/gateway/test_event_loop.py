"""Bodies of the worst shapes at the default limits: no single step keeps the event loop of the others.

Measured is processor time: of the event loop's own thread, and of another one that keeps Python's lock. On a
slower machine a step may take longer by as much as reading a long string does. What was disturbed by other
programs is tried again: only what is long each time is.
"""

import gzip
import json
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from free_ports import free_ports
from system.faults.product import exchange, post, until

from keraserve_protocol import messages as m
from keraserve_protocol import services

SECONDS = 0.020
"""That a step may take."""
STRINGS = 3
"""So often as long as a step may reading a string of 16 MiB take: on a slower machine that is more."""
VARYING = 1.5
"""So many times as long it may be before the test fails: the same step took 20 to 22.6 ms in six tries."""
TRIES = 6
LARGE = (16 << 20) - 4096  # just below the limit on bytes
PREDICT, CLASSIFY = "/v1/models/colours:predict", "/v1/models/colours:classify"
INFER, IMAGES = "/v2/models/colours/infer", "/v1/models/colours/images:classify"
FORM, JSON = "multipart/form-data; boundary=a", "application/json"
STRING = b'{"signature_name":"strings","instances":["'


def filled(head: bytes, unit: bytes, tail: bytes, size: int = LARGE) -> bytes:
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


def listed(head: bytes, unit: bytes, tail: bytes, most: int) -> bytes:
    count = min(most, (LARGE - len(head) - len(tail)) // (len(unit) + 1))
    return head + b",".join([unit] * count) + tail


def numbered(head: bytes, unit: bytes, tail: bytes, most: int) -> bytes:
    return head + b",".join([unit % number for number in range(most)]) + tail


def form(data: bytes) -> bytes:
    return b'--a\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n%b\r\n--a--\r\n' % data


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 100, 100, 8, 2, 0, 0, 0))
JPEG = b"\xff\xd8"
GIF = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0x80, 0, 0) + bytes(6)
FRAME = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02"
WEBP = b"RIFF" + struct.pack("<I", LARGE - 8) + b"WEBPVP8X\n"
TABLES = b"\xff\xc4" + struct.pack(">H", 2 + 17 * 3800) + bytes(17 * 3800)
IMAGE = b"[" + b",".join([b"[" + b",".join([b"[0.1234,0.2345,0.3456]"] * 100) + b"]"] * 100) + b"]"
NOISE = random.Random(1).randbytes(LARGE - 6000)
EMOJI = "😀".encode()
INPUT = b'{"inputs":[{"name":"x","datatype":"%b","shape":[%d],"data":['

HTTP: dict[str, tuple[str, str, Callable[[], bytes]]] = {
    "escapes": (PREDICT, JSON, lambda: filled(STRING, rb"\u0041" + b"a" * 27, b'"]}')),
    "escapes, then text": (
        PREDICT,
        JSON,
        lambda: STRING + rb"\u4f60" * 524_200 + b"a" * (LARGE - 3_200_000) + b'"]}',
    ),
    "escapes beyond the limit": (PREDICT, JSON, lambda: filled(STRING, rb"\n", b'"]}')),
    "a long string": (PREDICT, JSON, lambda: filled(STRING, b",[{:", b'"]}')),
    "a long text": (PREDICT, JSON, lambda: filled(STRING, "é".encode(), b'"]}', 4 << 20)),
    "an emoji": (PREDICT, JSON, lambda: filled(STRING + EMOJI, b"a", b'"]}')),
    "an emoji in half as much": (PREDICT, JSON, lambda: filled(STRING + EMOJI, b"a", b'"]}', 8 << 20)),
    "an escaped emoji": (PREDICT, JSON, lambda: filled(STRING + rb"\ud83d\ude00", b"a", b'"]}')),
    "emoji": (PREDICT, JSON, lambda: filled(STRING, EMOJI, b'"]}')),
    "Chinese": (PREDICT, JSON, lambda: filled(STRING + "你".encode(), b"a", b'"]}')),
    "base64 with escapes": (
        PREDICT,
        JSON,
        lambda: filled(b'{"signature_name":"strings","instances":[{"b64":"', rb"\/" + b"A" * 63, b'"}]}'),
    ),
    "strings": (PREDICT, JSON, lambda: listed(STRING + b'",', b'"%b"' % (b"x" * 50), b"]}", 131_000)),
    "long integers": (PREDICT, JSON, lambda: listed(b'{"instances":["x",', b"9" * 900, b"]}", LARGE)),
    "floats": (PREDICT, JSON, lambda: listed(b'{"instances":["x",', b"0.12345678901234567", b"]}", 524_200)),
    "floats in one image": (PREDICT, JSON, lambda: listed(b'{"instances":[', IMAGE, b"]}", 64)),
    "empty lists": (PREDICT, JSON, lambda: listed(b'{"instances":["x",', b"[]", b"]}", 131_000)),
    "objects": (PREDICT, JSON, lambda: listed(b'{"instances":[', b'{"x":1}', b"]}", 32_000)),
    "long keys": (PREDICT, JSON, lambda: numbered(b"{", b'"' + b"k" * 480 + b'%x":1', b"}", 32_000)),
    "white space before": (PREDICT, JSON, lambda: filled(b"", b" ", b'{"instances":[1]}')),
    "white space within": (PREDICT, JSON, lambda: filled(b'{"instances":[', b" ", b"]}")),
    "brackets": (PREDICT, JSON, lambda: filled(b'{"instances":', b"[", b"")),
    "no JSON": (PREDICT, JSON, lambda: NOISE),
    "features": (
        CLASSIFY,
        JSON,
        lambda: numbered(b'{"examples":[{', b'"' + b"k" * 480 + b'%x":1', b"}]}", 32_000),
    ),
    "a feature": (CLASSIFY, JSON, lambda: listed(b'{"examples":[{"a":[', b"0.5", b"]}]}", 524_200)),
    "examples": (
        CLASSIFY,
        JSON,
        lambda: listed(b'{"examples":[', b'{"a":"%b"}' % (b"x" * 8_000), b"]}", 1024),
    ),
    "infer": (INFER, JSON, lambda: listed(INPUT % (b"FP32", 524_200), b"0.12345678901", b"]}]}", 524_200)),
    "infer strings": (INFER, JSON, lambda: listed(INPUT % (b"BYTES", 131_000), b'""', b"]}]}", 131_000)),
    "nearly boundaries": (IMAGES, FORM, lambda: filled(b"--a\r\n\r\n", b"\r\n--ax", b"\r\n--a--\r\n")),
    "returns": (IMAGES, FORM, lambda: filled(b"--a\r\n\r\n", b"\r", b"\r\n--a--\r\n")),
    "no boundary": (IMAGES, FORM, lambda: filled(b"", b"\r\n--", b"\r\n--a--\r\n")),
    "a file in a form": (IMAGES, FORM, lambda: form(JPEG + bytes(LARGE - 1000))),
    "a png": (IMAGES, "image/png", lambda: PNG + chunk(b"IDAT", bytes(LARGE - 99)) + chunk(b"IEND", b"")),
    "a png of chunks": (IMAGES, "", lambda: PNG + chunk(b"IDAT", bytes(800)) * 19_990 + chunk(b"IEND", b"")),
    "a jpeg of 255": (IMAGES, "", lambda: JPEG + b"\xff" * (LARGE - 99)),
    "a jpeg of markers": (IMAGES, "", lambda: JPEG + b"\xff\xd0" * (LARGE // 2 - 99)),
    "a jpeg of tables": (IMAGES, "", lambda: JPEG + TABLES * (LARGE // len(TABLES))),
    "a gif of frames": (IMAGES, "", lambda: filled(GIF, FRAME + b"\0", b";", 1 << 20)),
    "a gif of extensions": (IMAGES, "", lambda: filled(GIF, b"!\xfe\0", b";", 60_000)),
    "a gif of blocks": (IMAGES, "", lambda: filled(GIF + FRAME, b"\xff" + bytes(255), b"\0;")),
    "a webp of chunks": (
        IMAGES,
        "",
        lambda: filled(WEBP + bytes(13), b"A" + bytes(7), b""),
    ),
}  # fmt: skip


def field(number: int, data: bytes) -> bytes:
    size, length = len(data), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + data


SPEC = field(1, field(1, b"colours"))


EXAMPLE = field(1, b"x" * 16_000)


def tensor(inner: bytes) -> bytes:
    return SPEC + field(2, field(1, b"x") + field(2, inner))


GRPC: dict[str, tuple[services.Call[Any, Any], Callable[[], bytes]]] = {
    "bytes of a tensor": (services.PREDICT, lambda: tensor(field(4, bytes(LARGE)))),
    "packed integers": (services.PREDICT, lambda: tensor(field(10, b"\x01" * LARGE))),
    "strings of a tensor": (services.PREDICT, lambda: tensor(field(8, b"") * (LARGE // 2))),
    "dimensions": (services.PREDICT, lambda: tensor(field(2, field(2, b"") * (LARGE // 3)))),
    "inputs": (services.PREDICT, lambda: SPEC + field(2, b"") * (LARGE // 2)),
    "fields of no meaning": (services.PREDICT, lambda: SPEC + b"\x78\x01" * (LARGE // 2)),
    "a long name": (services.PREDICT, lambda: field(1, field(1, b"c" * LARGE))),
    "examples": (services.CLASSIFY, lambda: SPEC + field(2, field(1, field(1, b"") * (LARGE // 2)))),
    "examples to regress": (services.REGRESS, lambda: SPEC + field(2, field(1, EXAMPLE * 1000))),
    "tasks": (services.MULTI_INFERENCE, lambda: field(1, b"") * (LARGE // 2)),
    "fields of metadata": (services.GET_MODEL_METADATA, lambda: SPEC + field(2, b"") * (LARGE // 2)),
    "a status": (services.GET_MODEL_STATUS, lambda: field(1, b"") * (LARGE // 2)),
}  # fmt: skip


FLOAT, TEXT = m.DataType.DT_FLOAT, m.DataType.DT_STRING
MOST = 1 << 22  # numbers that JSON carries
FLOATS = struct.pack("<1024f", *(random.Random(1).random() for _ in range(1024))) * (MOST // 1024)
RESPONSES: dict[str, Callable[[], dict[str, m.TensorProto]]] = {
    "strings": lambda: {"y": output([1], FLOAT, float_val=[1])},
    "many rows": lambda: {"y": output([MOST, 1], FLOAT, tensor_content=FLOATS)},
    "a long row": lambda: {"y": output([1, MOST], FLOAT, tensor_content=FLOATS)},
    "float_val": lambda: {"y": output([1024, 4096], FLOAT, float_val=struct.unpack(f"<{MOST}f", FLOATS))},
    "a repeated value": lambda: {"y": output([MOST], FLOAT, float_val=[0.1])},
    "two outputs": lambda: {
        name: output([MOST // 2], FLOAT, tensor_content=FLOATS[: 2 * MOST]) for name in ("y", "z")
    },
    "many strings": lambda: {"y": output([MOST // 8], TEXT, string_val=[b"a string"] * (MOST // 8))},
    "many files": lambda: {"y_bytes": output([MOST // 8], TEXT, string_val=[b"\xff\xd8"] * (MOST // 8))},
}  # fmt: skip
"""The outputs of the model's signatures, by the signature's name."""


def output(shape: Sequence[int], dtype: m.DataType, **values: Any) -> m.TensorProto:
    sizes = [m.TensorShapeProto.Dim(size=size) for size in shape]
    return m.TensorProto(dtype=dtype, tensor_shape=m.TensorShapeProto(dim=sizes), **values)


def signatures(*_: Any) -> m.GetModelMetadataResponse:
    found = m.SignatureDefMap()
    for name in ("serving_default", *RESPONSES):
        found.signature_def[name].inputs["x"].dtype = FLOAT if name == "serving_default" else TEXT
        found.signature_def[name].inputs["x"].tensor_shape.unknown_rank = True
        found.signature_def[name].outputs["y"].dtype = FLOAT
    return m.GetModelMetadataResponse(metadata={"signature_def": m.pack_signatures(found)})


def predict(request: m.PredictRequest, *_: Any) -> m.PredictResponse:
    name = request.model_spec.signature_name
    return m.PredictResponse(outputs=RESPONSES[name if name in RESPONSES else "strings"]())


def classify(request: m.ClassificationRequest, *_: Any) -> m.ClassificationResponse:
    given = m.ClassificationResponse()
    for _ in request.input.example_list.examples:
        given.result.classifications.add().classes.add(label="red", score=0.5)
    return given


def regress(request: m.RegressionRequest, *_: Any) -> m.RegressionResponse:
    given = m.RegressionResponse()
    for _ in request.input.example_list.examples:
        given.result.regressions.add(value=0.5)
    return given


def status(*_: Any) -> m.GetModelStatusResponse:
    given = m.GetModelStatusResponse()
    given.model_version_status.add(version=1, state=m.ModelVersionStatus.AVAILABLE)
    return given


@dataclass(frozen=True)
class Watched:
    """A gateway in a process of its own that says how long its event loop was held."""

    process: "subprocess.Popen[str]"
    report: Any
    port: int
    channel: grpc.Channel

    def held(self, ask: Callable[[], object]) -> dict[str, float]:
        """Give the seconds of processor time that the event loop was held meanwhile, at most."""
        assert self.process.stdin is not None
        self.process.stdin.write("begin\n")
        self.process.stdin.flush()
        ask()
        self.process.stdin.write("end\n")
        self.process.stdin.flush()
        return json.loads(self.report.readline())

    def check(self, ask: Callable[[], object]) -> None:
        """Ask until no step is too long."""
        limit, seen = allowed(), list[dict[str, float]]()
        while not seen or max(seen[-1].values()) > limit:
            assert len(seen) < TRIES, f"held for more than {limit} s of processor time: {seen}"
            seen.append(self.held(ask))


def allowed() -> float:
    """Give the seconds of processor time that a step may take."""
    text, times = f'"{"a" * LARGE}"', list[float]()
    for _ in range(3):
        before = time.thread_time()
        json.loads(text)
        times.append(time.thread_time() - before)
    return VARYING * max(SECONDS, STRINGS * min(times))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    responses = {
        services.GET_MODEL_METADATA: signatures,
        services.PREDICT: predict,
        services.CLASSIFY: classify,
        services.REGRESS: regress,
        services.GET_MODEL_STATUS: status,
    }
    longest = [(f"grpc.max_{which}_message_length", 64 << 20) for which in ("receive", "send")]
    upstream = grpc.server(ThreadPoolExecutor(4), options=longest)
    upstream.add_generic_rpc_handlers(tuple(services.handlers(responses)))
    address = f"127.0.0.1:{upstream.add_insecure_port('127.0.0.1:0')}"
    upstream.start()
    read, write = os.pipe()
    log = tmp_path_factory.mktemp("watched") / "log"
    program = Path(__file__).with_name("watched_gateway.py")
    port, grpc_port = free_ports(2)
    flags = [f"--model-server={address}", "--models=colours", f"--port={port}", f"--grpc-port={grpc_port}"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(program), str(write), *flags],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            pass_fds=[write],
            text=True,
        )
    os.close(write)
    try:
        until(lambda: b'"listening"' in log.read_bytes(), "the gateway did not start")
        with os.fdopen(read) as report, grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
            yield Watched(process, report, port, channel)
        assert "Traceback" not in log.read_text(), log.read_text()[-3000:]
    finally:
        process.terminate()
        process.wait(30)
        if process.stdin is not None:
            process.stdin.close()
        upstream.stop(0)


@pytest.mark.shows("backslashes, as escapes are")
@pytest.mark.parametrize("case", HTTP)
def test_no_step_on_a_body_is_long(watched: Watched, case: str) -> None:
    path, media_type, make = HTTP[case]
    body = make()
    assert len(body) <= 16 << 20
    request = post(path, body, media_type)
    watched.check(lambda: exchange(watched.port, request))


@pytest.mark.parametrize("call", [CLASSIFY, PREDICT])
def test_no_step_on_a_compressed_body_is_long(watched: Watched, call: str) -> None:
    for expanded in (NOISE, bytes(LARGE)):
        request = post(call, gzip.compress(expanded, 1), JSON, "Content-Encoding: gzip")
        watched.check(lambda request=request: exchange(watched.port, request))


@pytest.mark.shows("names of model, label")
@pytest.mark.parametrize("case", GRPC)
def test_no_step_on_a_message_is_long(watched: Watched, case: str) -> None:
    call, make = GRPC[case]
    message, ask = make(), watched.channel.unary_unary(call.path)
    assert len(message) <= 16 << 20

    def requested() -> None:
        try:
            ask(message, timeout=60)
        except grpc.RpcError as error:
            assert error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INVALID_ARGUMENT)  # noqa: PT017

    watched.check(requested)


@pytest.mark.parametrize("form", ["rows", "columns", "JSON", "binary data"])
@pytest.mark.parametrize("case", RESPONSES)
def test_no_step_on_a_response_is_long(watched: Watched, case: str, form: str) -> None:
    path, asked = PREDICT, {"signature_name": case, "instances" if form == "rows" else "inputs": ["x"]}
    if form in ("JSON", "binary data"):
        x = {"name": "x", "shape": [1], "datatype": "BYTES", "data": ["x"]}
        named = {"signature_name": case, "binary_data_output": form == "binary data"}
        path, asked = INFER, {"inputs": [x], "parameters": named}
    request = post(path, json.dumps(asked).encode(), JSON)
    watched.check(lambda: exchange(watched.port, request))


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/", "/v1/models", "/v2/models/colours"])
def test_no_step_on_a_page_is_long(watched: Watched, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    watched.check(lambda: exchange(watched.port, request))


def test_a_long_step_would_be_seen(watched: Watched) -> None:
    """As a search through 16 MiB takes some milliseconds, in the thread or in the event loop."""
    request = post(PREDICT, filled(STRING, b"a", b'"]}'), JSON)
    assert max(watched.held(lambda: exchange(watched.port, request)).values()) > SECONDS / 20
