"""Requests of one turn of the event loop are merged into one call, and none of them notices."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import httpx2
import pytest
from encoded_images import undecodable_png

from keraserve_gateway.context import CallContext, Deadline, Metadata, RequestContext
from keraserve_gateway.errors import BadRequest, DeadlineExceeded, ModelServerUnavailable
from keraserve_gateway.upstream.coalescing import RequestCoalescer
from keraserve_gateway.upstream.independent_rows import IndependentRows
from keraserve_gateway.upstream.model_cards import ModelCards
from keraserve_gateway.upstream.model_server import GrpcModelServer
from keraserve_protocol import messages as m
from keraserve_protocol import services

PATH = "/v1/models/colours/images:classify"
BAD = b"bad"
TRACE = (("traceparent", "t"),)


class Server:
    """Returns each example as its label; rejects a whole call for one example that is bad."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[bytes], float, Metadata]] = []
        self.cancelled = 0
        self.fails: Exception | None = None
        self.omits = 0  # results of a call with several examples
        self.seconds = 0.0

    async def ask(self, call: object, request: Any, context: CallContext) -> Any:
        assert call is services.CLASSIFY
        examples = list(request.input.example_list.examples)
        self.calls.append((examples, context.timeout, tuple(context.metadata)))
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fails:
            raise self.fails
        if BAD in examples:
            raise BadRequest("one is bad", origin=grpc.StatusCode.INVALID_ARGUMENT)
        response = m.ClassificationResponse(model_spec=m.model_spec(request.model_spec.name, version=3))
        for example in examples[: len(examples) - (self.omits if len(examples) > 1 else 0)]:
            response.result.classifications.add().classes.add(label=example.decode(), score=1)
        return response

    @property
    def sent(self) -> list[list[bytes]]:
        return [examples for examples, _, _ in self.calls]


class Known:
    """Knows one version whose rows are independent, or none."""

    def __init__(self, version: int | None) -> None:
        self.known, self.learnt = version, list[int]()

    def version(self, _: m.ModelSpec) -> int | None:
        return self.known

    def learn(self, _: m.ModelSpec, version: int) -> None:
        self.learnt.append(version)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def coalescer(server: Server) -> RequestCoalescer:
    return RequestCoalescer(server.ask, 6, Known(3))


def request(*examples: bytes, model: str = "a", **spec: int) -> m.ClassificationRequest:
    made = m.ClassificationRequest(model_spec=m.model_spec(model, **spec))
    made.input.example_list.examples.extend(examples)
    return made


def within(seconds: float, request_id: str = "", trace: tuple[tuple[str, str], ...] = ()) -> RequestContext:
    return RequestContext(Deadline.after(seconds), request_id, trace)


async def classify_each(coalescer: RequestCoalescer, *examples: bytes) -> list[Any]:
    """Classify each example by a request of its own, all in one turn of the event loop."""
    requests = (coalescer.classify(request(one), within(5)) for one in examples)
    return await asyncio.gather(*requests, return_exceptions=True)


def labels(response: m.ClassificationResponse) -> list[str]:
    return [one.classes[0].label for one in response.result.classifications]


@pytest.mark.shows("requests that come at")
async def test_each_request_gets_its_response_and_the_call_has_all_ids_and_the_latest_deadline(
    server: Server, coalescer: RequestCoalescer
) -> None:
    responses = await asyncio.gather(
        coalescer.classify(request(b"1"), within(5, "one")),
        coalescer.classify(request(b"2", b"3"), within(50, "two")),
        coalescer.classify(request(b"4"), within(5)),
    )
    assert [labels(one) for one in responses] == [["1"], ["2", "3"], ["4"]]
    assert {one.model_spec.version.value for one in responses} == {3}
    [(examples, timeout, metadata)] = server.calls
    assert examples == [b"1", b"2", b"3", b"4"]
    assert 49 < timeout <= 50
    assert metadata == (("x-request-id", "one"), ("x-request-id", "two"))


async def test_a_request_alone_in_its_turn_is_sent_unchanged(
    server: Server, coalescer: RequestCoalescer
) -> None:
    metadata = (("x-request-id", "one"), *TRACE)
    for _ in range(2):
        assert labels(await coalescer.classify(request(b"1"), within(5, "one", TRACE))) == ["1"]
    assert [(examples, given) for examples, _, given in server.calls] == [([b"1"], metadata)] * 2


@pytest.mark.shows("requests that come at")
async def test_requests_with_other_models_versions_or_traces_are_not_merged(
    server: Server, coalescer: RequestCoalescer
) -> None:
    await asyncio.gather(
        coalescer.classify(request(b"1"), within(5)),
        coalescer.classify(request(b"2", model="b"), within(5)),
        coalescer.classify(request(b"3", version=1), within(5)),
        coalescer.classify(request(b"4"), within(5, "", TRACE)),
        coalescer.classify(request(b"5"), within(5)),
    )
    assert sorted(server.sent) == [[b"1", b"5"], [b"2"], [b"3"], [b"4"]]


@pytest.mark.shows("KERASERVE_MAX_MERGED")
@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        ([1] * 7, [6, 1]),
        ([4, 4, 1], [4, 5]),
        ([7, 1, 1], [2, 7]),  # a single request may have more
    ],
)
async def test_a_call_has_at_most_max_merged_examples(
    server: Server, coalescer: RequestCoalescer, sizes: Sequence[int], calls: Sequence[int]
) -> None:
    responses = await asyncio.gather(
        *(coalescer.classify(request(*[b"x"] * size), within(5)) for size in sizes)
    )
    assert [len(labels(one)) for one in responses] == list(sizes)
    assert sorted(map(len, server.sent)) == sorted(calls)


async def test_a_call_has_at_most_one_mebibyte_of_several_requests(
    server: Server, coalescer: RequestCoalescer
) -> None:
    await classify_each(coalescer, *[b"x" * 400_000] * 4)
    assert list(map(len, server.sent)) == [2, 2]


@pytest.mark.shows("requests that come at", "KERASERVE_MAX_MERGED")
async def test_max_merged_of_one_merges_nothing(server: Server) -> None:
    await classify_each(RequestCoalescer(server.ask, 1, Known(3)), b"1", b"2")
    assert sorted(server.sent) == [[b"1"], [b"2"]]


@pytest.mark.shows("none of them notices")
async def test_a_rejected_request_fails_no_other(server: Server, coalescer: RequestCoalescer) -> None:
    good, bad, other = await classify_each(coalescer, b"1", BAD, b"2")
    assert (labels(good), labels(other)) == (["1"], ["2"])
    assert isinstance(bad, BadRequest)
    assert sorted(server.sent) == [[b"1"], [b"1", BAD, b"2"], [b"2"], [BAD]]


async def test_a_call_with_missing_results_is_repeated_for_each_request(
    server: Server, coalescer: RequestCoalescer
) -> None:
    server.omits = 1
    assert [labels(one) for one in await classify_each(coalescer, b"1", b"2")] == [["1"], ["2"]]


@pytest.mark.parametrize("kind", [ModelServerUnavailable, ValueError])
async def test_other_errors_fail_all_requests_of_a_call(
    server: Server, coalescer: RequestCoalescer, kind: type[Exception]
) -> None:
    server.fails = error = kind("a defect")
    assert await classify_each(coalescer, b"1", b"2") == [error, error]
    assert len(server.calls) == 1


@pytest.mark.shows("none of them notices")
async def test_each_request_has_its_own_deadline(server: Server, coalescer: RequestCoalescer) -> None:
    server.seconds = 0.2
    short, long = await asyncio.gather(
        coalescer.classify(request(b"1"), within(0.05)),
        coalescer.classify(request(b"2"), within(5)),
        return_exceptions=True,
    )
    assert isinstance(short, DeadlineExceeded)
    assert labels(long) == ["2"]  # type: ignore[arg-type]
    assert len(server.calls) == 1


async def test_a_call_is_cancelled_when_no_request_waits_for_it(
    server: Server, coalescer: RequestCoalescer
) -> None:
    server.seconds = 60
    first, second = (asyncio.create_task(coalescer.classify(request(one), within(5))) for one in (b"1", b"2"))
    while not server.calls:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0.01)
    assert not server.cancelled
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert server.cancelled == 1


async def test_a_request_cancelled_before_the_call_is_not_sent(
    server: Server, coalescer: RequestCoalescer
) -> None:
    cancelled, waiting = (
        asyncio.create_task(coalescer.classify(request(one), within(5))) for one in (b"1", b"2")
    )
    await asyncio.sleep(0)
    cancelled.cancel()
    assert labels(await waiting) == ["2"]
    assert server.sent == [[b"2"]]


async def test_nothing_is_merged_unless_rows_are_known_to_be_independent(server: Server) -> None:
    await classify_each(RequestCoalescer(server.ask, 6, Known(None)), b"1", b"2")
    assert sorted(server.sent) == [[b"1"], [b"2"]]


async def test_a_call_to_a_new_version_is_repeated_for_each_request(server: Server) -> None:
    known = Known(2)  # the server responds as version 3
    responses = await classify_each(RequestCoalescer(server.ask, 6, known), b"1", b"2")
    assert [labels(one) for one in responses] == [["1"], ["2"]]
    assert sorted(server.sent) == [[b"1"], [b"1", b"2"], [b"2"]]
    assert known.learnt == [3, 3, 3]


@pytest.mark.parametrize(
    ("card", "version"),
    [
        (b'{"independent_rows": true}', 7),
        (b'{"independent_rows": false}', None),
        (b"{}", None),
        (b"[]", None),
        (b"{", None),
        (None, None),
    ],
)
async def test_a_versions_card_says_whether_its_rows_are_independent(
    card: bytes | None, version: int | None
) -> None:
    requests: list[m.PredictRequest] = []

    async def ask(call: object, request: Any, context: CallContext) -> Any:
        assert call is services.PREDICT
        requests.append(request)
        if card is None:
            raise BadRequest("no such signature", origin=grpc.StatusCode.FAILED_PRECONDITION)
        response = m.PredictResponse(model_spec=m.model_spec("a", version=7))
        response.outputs["json"].CopyFrom(m.TensorProto(dtype=m.DataType.DT_STRING, string_val=[card]))
        return response

    cards = ModelCards(ask)
    rows, spec = IndependentRows(cards), m.model_spec("a", signature="classify")
    assert rows.version(spec) is None  # no response has said yet which version it means
    rows.learn(spec, 7)
    assert [rows.version(spec), rows.version(spec)] == [None, None]  # the card is fetched later, once
    await asyncio.sleep(0.01)
    assert rows.version(spec) == version
    assert [one.model_spec.signature_name for one in requests] == ["model_card"]
    assert [one.model_spec.version.value for one in requests] == [7]
    assert await cards.warnings("a", 7) == ()  # the same card: it is not fetched again
    rows.learn(m.model_spec("a", label="stable"), 7)
    assert (rows.version(m.model_spec("a", label="stable")), len(requests)) == (version, 1)
    rows.learn(spec, 8)
    assert rows.version(spec) is None
    await asyncio.sleep(0.01)
    assert [one.model_spec.version.value for one in requests] == [7, 8]


@pytest.mark.shows("none of them notices")
async def test_merged_requests_to_a_real_model_server(
    gateway: httpx2.AsyncClient, red: bytes, green: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    forward = GrpcModelServer.forward

    def counted(self: GrpcModelServer, path: str, request: bytes, *given: Any) -> Any:
        if path == services.CLASSIFY.path:
            sizes.append(len(m.ClassificationRequest.FromString(request).input.example_list.examples))
        return forward(self, path, request, *given)

    monkeypatch.setattr(GrpcModelServer, "forward", counted)
    monkeypatch.setattr(IndependentRows, "version", lambda *_: 1)  # the model has no card
    sent = [red, green, undecodable_png(), red, green]
    responses = await asyncio.gather(
        *(gateway.post(PATH, content=one, headers={"content-type": "image/png"}) for one in sent)
    )
    assert [one.status_code for one in responses] == [200, 200, 400, 200, 200]
    best = [one.json()["predictions"][0]["classes"][0]["label"] for one in responses if one.is_success]
    assert best == ["red", "green", "red", "green"]
    assert all(one.headers["x-model-version"] == "1" for one in responses if one.is_success)
    # All in one call, which is rejected; then each alone, and the rejected one once more.
    assert sizes == [5, 1, 1, 1, 1, 1, 1]
