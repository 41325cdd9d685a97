"""Parsers with random bytes: they raise the expected errors only, and read the same bytes in one way.

`make test-faults` has a million cases, `make test` some thousands. A failure prints the seed of its cases:
`FAULTS_SEED=… pytest tests/system/faults/test_fuzz.py` begins with the same ones.
"""

import asyncio
import functools
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from encoded_images import png
from gateway.recorded_connection import responses
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from system.faults.mutations import mutated, pieces
from system.faults.product import CASES, MINUTES

from keraserve_protocol import elements, image_files, open_inference, rest, tensors
from keraserve_protocol import messages as m
from keraserve_protocol.json_tensors import JsonError
from keraserve_protocol.number_text import finish
from keraserve_protocol.open_inference_calls import infer_outputs, infer_request

SEED = int(os.environ.get("FAULTS_SEED", "0")) or int(time.time())
BATCH = 50  # cases of a seed, as a seed of its own for each would take most of the time
SECONDS = 500 if MINUTES else 20  # for each parser, also on a slow machine


def cases(share: float) -> Callable[[Any], Any]:
    """Run a test with new seeds until its share of all cases is done, or its time is over."""

    def decorated(test: Any) -> Any:
        started: list[float] = []
        done = 0

        @functools.wraps(test)
        def limited(numbers: int) -> None:
            nonlocal done
            if not started:
                started.append(time.monotonic())
            if time.monotonic() - started[0] > SECONDS:
                return
            done += BATCH
            try:
                test(numbers)
            except BaseException as error:
                error.add_note(f"FAULTS_SEED={SEED}, cases of {numbers}")
                raise

        settled = settings(
            max_examples=max(1, int(CASES * share) // BATCH),
            deadline=None,
            database=None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        fuzzing = seed(SEED)(settled(given(numbers=st.integers(0, 1 << 48))(limited)))

        def counted(capsys: pytest.CaptureFixture[str]) -> None:
            fuzzing()
            with capsys.disabled():
                print(f"{done} cases in {time.monotonic() - started[0]:.0f} s")

        return counted

    return decorated


@pytest.fixture(autouse=True, scope="module")
def _seed_is_printed() -> None:
    print(f"FAULTS_SEED={SEED}")


HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n", *b"GIF89a BM RIFF WEBP VP8X VP8L IHDR IDAT".split())
JPEG = bytes.fromhex(
    f"ffd8ffe000104a46494600010100000100010000ffdb0043{'01' * 65}ffc0000b080008000801011100"
    "ffc400140001000000000000000000000000000000ffda0008010100003f00d2cf20ffd9"
)
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
BMP = b"BM" + struct.pack("<IIIIiiHHIIiiII", 70, 0, 54, 40, 2, 2, 1, 24, 0, 16, 0, 0, 0, 0) + bytes(16)
WEBP = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0"


@cases(0.3)
def test_image_headers(numbers: int) -> None:
    for data in mutated(numbers, BATCH, (png(9, 9, 9), JPEG, GIF, BMP, WEBP), HEADS):
        with suppress(image_files.BadImage, image_files.UnknownFormat):
            header = image_files.read(data)
            image_files.check(data, header)
            assert header.pixels > 0


BODIES = (
    b'{"instances":[[1.0,2.5],[3,-4e2]]}',
    b'{"signature_name":"s","inputs":{"x":[1,2]}}',
    b'{"instances":[' + b",".join(b"[%d,2.5]" % n for n in range(200)) + b"]}",
    b'{"instances":[{"b64":"AAAA"},"text"]}',
    b'{"examples":[{"a":[1,2],"b":"x","c":{"b64":"AA=="}}],"context":{"d":1.5}}',
    b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}],"outputs":[{"name":"y"}]}',
)
MARKS = (*b'[ ] { } , : " NaN -Infinity 1e999 null true'.split(), b"\\ud800", b"\xff")
TYPES = (m.DataType.DT_FLOAT, m.DataType.DT_INT32, m.DataType.DT_STRING, m.DataType.DT_UINT8)


def tensor_of(parse: Any, body: bytes, inputs: dict[str, m.TensorInfo]) -> Any:
    """The request of a body, or None if it is rejected."""
    try:
        prediction = parse(body)
        return rest.predict_request(finish(rest.pack(prediction, inputs)), inputs, m.ModelSpec())
    except JsonError:
        return None


@cases(0.25)
def test_json(numbers: int) -> None:
    """Large lists are parsed in another way, which has to give the same request."""
    inputs = {"x": m.TensorInfo(dtype=TYPES[numbers % len(TYPES)])}
    inputs["x"].tensor_shape.unknown_rank = True
    for body in mutated(numbers, BATCH, BODIES, MARKS):
        found = tensor_of(rest.parse_prediction, body, inputs)
        whole = tensor_of(rest.parse_whole, body, inputs)
        assert found == whole, body
        with suppress(JsonError):
            rest.classification_request(body, m.ModelSpec())
        with suppress(JsonError):
            open_inference.parse(body, numbers % 90 if numbers % 3 else None)


def tensor(dtype: int, **fields: Any) -> bytes:
    made = m.TensorProto(dtype=dtype, **fields)
    made.tensor_shape.dim.add(size=2)
    return made.SerializeToString()


TENSORS = (
    tensor(m.DataType.DT_FLOAT, float_val=[1, 2]),
    tensor(m.DataType.DT_HALF, half_val=[1, 2]),
    tensor(m.DataType.DT_STRING, string_val=[b"\xff", b"b"]),
    tensor(m.DataType.DT_INT64, tensor_content=bytes(16)),
    tensor(m.DataType.DT_COMPLEX64, scomplex_val=[1, 2, 3, 4]),
    tensor(m.DataType.DT_BFLOAT16, tensor_content=bytes(4)),
)
FIELDS = tuple(map(bytes.fromhex, ("0801", "080e", "120412020802", "2208", "420161", "ffffffff0f")))
INFER = b"".join(infer_request("s", {"x": m.TensorProto.FromString(TENSORS[2])})[:1])


@cases(0.3)
def test_protobuf(numbers: int) -> None:
    for data in mutated(numbers, BATCH, TENSORS, FIELDS):
        try:
            proto = m.TensorProto.FromString(data)
        except DecodeError:
            continue
        with suppress(elements.TensorError):
            array = tensors.from_proto(proto)
            assert array.shape == tuple(dim.size for dim in proto.tensor_shape.dim)
        for layout in rest.Layout:
            with suppress(JsonError, elements.TensorError):
                rest.predict_response(m.PredictResponse(outputs={"y": proto}), layout)


@cases(0.1)
def test_responses_to_infer(numbers: int) -> None:
    for body in mutated(numbers, BATCH, (INFER.replace(b'"inputs"', b'"outputs"'),), MARKS):
        with suppress(JsonError):
            infer_outputs(body, body.rfind(b"}") + 1)


REQUESTS = (
    b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi",
)
LINES = (
    *(b"\r\n", b"\n", b"\r", b":", b" ", b"\0", b"chunked", b"identity", b"Transfer-Encoding: chunked\r\n"),
    *(b"Content-Length: 3\r\n", b"Content-Length: +3\r\n", b"Host: y\r\n", b"Upgrade: websocket\r\n"),
    *(
        b"Expect: 100-continue\r\n",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"0\r\n\r\n",
        b"5;a=b\r\n",
        b"ffffffffffffffff\r\n",
    ),
)


class Application:
    """Records method, path and body of every complete request."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body, more = body + message["body"], message["more_body"]
        self.requests.append((scope["method"], scope["path"], body))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


async def both_ways(numbers: int) -> None:
    random = Random(numbers)
    for data in mutated(numbers, BATCH, REQUESTS, LINES):
        at_once, in_pieces = Application(), Application()
        written = await responses(at_once, data)
        await responses(in_pieces, *pieces(data, random))
        fewer, more = sorted((at_once.requests, in_pieces.requests), key=len)
        assert more[: len(fewer)] == fewer, data
        assert not written or written.startswith(b"HTTP/1.1 "), data


@cases(0.05)
def test_http(numbers: int) -> None:
    """The end of a request does not depend on how its bytes are split into packets."""
    asyncio.run(both_ways(numbers))
