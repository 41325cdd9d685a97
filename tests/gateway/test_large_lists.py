"""Large lists of numbers for `:predict` are packed piece by piece in the event loop."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from keraserve_gateway.calls.predict_json import Predictor
from keraserve_gateway.calls.request_limits import RequestLimits
from keraserve_gateway.calls.target import Target
from keraserve_gateway.context import Deadline, RequestContext
from keraserve_gateway.errors import BadRequest, DeadlineExceeded
from keraserve_protocol import messages as m
from keraserve_protocol import services

MODEL, LIMITS = Target("a"), RequestLimits(rows=1024, elements=1 << 24)
NUMBERS = [[n / 8, -n] for n in range(20_000)]
LARGE = json.dumps({"instances": NUMBERS}).encode()


class Sizes:
    """A model server that returns how many bytes of numbers it got."""

    def __init__(self, dtype: m.DataType = m.DataType.DT_FLOAT) -> None:
        self.dtype = dtype
        self.requests: list[m.PredictRequest] = []

    async def __call__(self, call: object, request: Any, _: object) -> Any:
        if call is services.GET_MODEL_METADATA:
            signatures = m.SignatureDefMap()
            signatures.signature_def["serving_default"].inputs["x"].dtype = self.dtype
            return m.GetModelMetadataResponse(metadata={"signature_def": m.pack_signatures(signatures)})
        self.requests.append(request)
        size = len(request.inputs["x"].tensor_content)
        return m.PredictResponse(outputs={"size": m.TensorProto(dtype=m.DataType.DT_INT32, int_val=[size])})


async def predict(predictor: Predictor, server: Any, body: bytes, seconds: float = 30.0) -> Any:
    body = body.replace(b"instances", b"inputs")
    context = RequestContext(Deadline.after(seconds))
    response = await predictor.predict(server, MODEL, body, context, hold=lambda _: None)
    return json.loads(response.body)["outputs"]


async def turns_until(work: asyncio.Task[Any]) -> int:
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


@pytest.mark.shows("an image as a")
async def test_other_requests_proceed_while_a_list_is_packed() -> None:
    predictor, server = Predictor(LIMITS), Sizes()
    work = asyncio.create_task(predict(predictor, server, LARGE))
    assert await turns_until(work) > len(LARGE) / 10_000
    assert work.result() == 8 * len(NUMBERS)
    assert list(server.requests[0].inputs["x"].tensor_shape.dim) == [
        m.TensorShapeProto.Dim(size=20_000),
        m.TensorShapeProto.Dim(size=2),
    ]


async def test_large_lists_are_packed_in_order_and_small_ones_meanwhile() -> None:
    predictor, server, ended = Predictor(LIMITS), Sizes(), list[str]()

    async def one(name: str, body: bytes) -> None:
        await predict(predictor, server, body)
        ended.append(name)

    await predict(predictor, server, b'{"inputs": [1.5]}')
    # Packed in turns with the first one, it would be ready first.
    shorter = json.dumps({"instances": NUMBERS[:6000]}).encode()
    bodies = {"first": LARGE, "second": shorter, "small": b'{"inputs": [1.5]}'}
    await asyncio.gather(*(one(name, body) for name, body in bodies.items()))
    assert ended == ["small", "first", "second"]


@pytest.mark.parametrize("waits", [False, True], ids=["packing", "waiting"])
async def test_packing_stops_at_the_deadline_or_when_the_caller_leaves(*, waits: bool) -> None:
    predictor, server = Predictor(LIMITS), Sizes()
    before: Sequence[asyncio.Task[Any]] = []
    if waits:
        before = [asyncio.create_task(predict(predictor, server, LARGE))]
    with pytest.raises(DeadlineExceeded, match="before all numbers were read"):
        await predict(predictor, server, LARGE, 0.0)
    left = asyncio.create_task(predict(predictor, server, LARGE))
    await asyncio.sleep(0)
    left.cancel()
    await asyncio.gather(left, *before, return_exceptions=True)
    assert left.cancelled()
    assert await predict(predictor, server, LARGE) == 8 * len(NUMBERS)
    assert len(server.requests) == 1 + waits


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (LARGE.replace(b"-7]", b"-7, 1]"), "lists at depth 1 differ in length"),
        (LARGE.replace(b"-7]", b'"seven"]'), "a string where float32"),
        (LARGE[:-2], "not JSON"),
        (b'{"instances": %b1%b}' % (b"[" * 40_000, b"]" * 40_000), "nested too deeply"),
    ],
)
async def test_the_error_names_the_mistake(body: bytes, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        await predict(Predictor(LIMITS), Sizes(), body)


async def test_numbers_are_packed_again_when_the_signature_changes() -> None:
    predictor, server = Predictor(LIMITS), Sizes(m.DataType.DT_INT32)
    assert await predict(predictor, server, b'{"inputs": [1, 2]}') == 8
    server.dtype = m.DataType.DT_DOUBLE
    assert await predict(predictor, server, LARGE) == 16 * len(NUMBERS)
