"""Requests are merged and split only if the version or the operator says that rows are independent."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from embedded.requests import floats, predict_request
from embedded.test_observer import Notes

from keraserve_embedded.batching.options import FILE_OF_VERSION, IMPLICIT_BATCHING, BatchingOptions
from keraserve_embedded.engine import Engine, EngineOptions
from keraserve_embedded.errors import StartError
from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.model_list import ModelEntry
from keraserve_protocol import messages as m
from keraserve_protocol.tensors import from_proto


class Rank(tf.Module):
    """What its signature can't show: each row's result depends on all rows."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def rank(self, score: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probability": tf.nn.softmax(score, axis=0)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.float32)])
    def products(self, query: tf.Tensor, items: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": query[:, None] * items[None, :]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def two(self, words: tf.Tensor) -> dict[str, tf.Tensor]:
        checked = tf.debugging.Assert(tf.size(words) > 1, ["one word alone"])
        with tf.control_dependencies([checked]):
            numbers = tf.strings.to_number(words)
        return {"numbers": numbers}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, module = tmp_path_factory.mktemp("rank") / "rank", Rank()
    signatures = {"serving_default": module.rank, "products": module.products, "two": module.two}
    tf.saved_model.save(module, str(folder / "1"), signatures=signatures)
    return folder


@pytest.fixture
def with_card(saved: Path) -> Any:
    card = saved / "1/assets.extra/model_card.json"
    card.parent.mkdir(exist_ok=True)

    def write(content: str) -> Path:
        card.write_text(content)
        return saved

    yield write
    card.unlink(missing_ok=True)


def request(signature: str = "serving_default", **inputs: Any) -> m.PredictRequest:
    return predict_request("rank", inputs, signature=signature)


async def ask_together(
    saved: Path, batching: BatchingOptions, requests: list[m.PredictRequest]
) -> tuple[list[Any], list[tuple[int, int]]]:
    """Give the responses, in order, and the requests and rows of each run."""
    notes = Notes()
    engine = Engine(EngineOptions(poll_seconds=0.05, batching=batching), notes)
    assert engine.start([ModelEntry("rank", (saved,))])
    loop_batcher = engine.event_loop_batcher()
    try:
        responses = await asyncio.gather(*(engine.respond(one, loop_batcher) for one in requests))
    finally:
        engine.stop()
    ran = [(one[4], one[5]) for one in notes.events if one[0] == "ran"]
    return [from_proto(next(iter(one.outputs.values()))).tolist() for one in responses], ran  # type: ignore[misc]


async def test_nothing_is_merged_or_split_by_default(saved: Path) -> None:
    """With one processor core too: what waits behind another request would be merged."""
    options = BatchingOptions(
        **{**vars(IMPLICIT_BATCHING), "num_batch_threads": 1, "max_execution_batch_size": 4}
    )
    sizes = [1, 2, 3, 8, 40]
    responses, ran = await ask_together(saved, options, [request(score=floats(*[0] * n)) for n in sizes])
    assert responses == [pytest.approx([1 / n] * n) for n in sizes]
    assert ran == [(1, 0)] * len(sizes) or sorted(ran) == [(1, n) for n in sizes]

    pairs = [request("products", query=floats(n), items=floats(n)) for n in range(1, 25)]
    responses, ran = await ask_together(saved, options, pairs)
    assert responses == [[[float(n * n)]] for n in range(1, 25)]
    assert all(requests == 1 for requests, _ in ran)


async def test_merged_and_split_where_the_version_says_that_rows_are_independent(
    with_card: Callable[[str], Path],
) -> None:
    # What the card says of this model is not true: so the responses show that it was believed.
    saved = with_card(json.dumps({"independent_rows": True}))
    options = BatchingOptions(
        **{**vars(IMPLICIT_BATCHING), "num_batch_threads": 1, "max_execution_batch_size": 4}
    )
    responses, ran = await ask_together(saved, options, [request(score=floats(*[0] * n)) for n in (1, 3, 8)])
    assert responses[2] == pytest.approx([1 / 4] * 8)
    assert responses[0] == pytest.approx([1 / 4])
    assert (2, 4) in ran


async def test_the_operator_may_say_so_unless_the_version_measured_otherwise(
    with_card: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    told = BatchingOptions(num_batch_threads=1)
    requested = [request(score=floats(0, 0)) for _ in range(3)]
    saved = with_card("{}")
    responses, ran = await ask_together(saved, told, requested)
    assert ran == [(3, 6)]
    assert responses == [pytest.approx([1 / 6] * 2)] * 3
    saved = with_card(json.dumps({"independent_rows": False}))
    responses, ran = await ask_together(saved, told, requested)
    assert len(ran) == 3
    assert responses == [[0.5, 0.5]] * 3
    assert "rank 1: its requests run alone: its card says that rows are not independent" in caplog.text


async def test_a_version_may_bring_its_parameters(
    with_card: Callable[[str], Path],
) -> None:
    """As with TensorFlow Serving's --enable_per_model_batching_parameters, they are of this version alone."""
    by_version = BatchingOptions(num_batch_threads=1, explicit=False)
    saved = with_card("{}")
    file = saved / "1" / FILE_OF_VERSION
    file.write_text("max_batch_size { value: 4 } num_batch_threads { value: 9 }")
    try:
        responses, ran = await ask_together(saved, by_version, [request(score=floats(0, 0))] * 3)
        assert sorted(ran) == [(1, 2), (2, 4)]
        assert sorted(one[0] for one in responses) == [0.25, 0.25, 0.5]
        with_card(json.dumps({"independent_rows": False}))
        _, ran = await ask_together(saved, by_version, [request(score=floats(0, 0))] * 3)
        assert len(ran) == 3
        file.write_text("max_batch_size { value: 0 }")
        engine = Engine(EngineOptions(poll_seconds=0, batching=by_version))
        with pytest.raises(StartError, match=f"{file}: max_batch_size must be at least 1"):
            engine.start([ModelEntry("rank", (saved,))])
        engine.stop()
    finally:
        file.unlink()


@pytest.mark.parametrize("card", ["", "[]", '{"independent_rows": "yes"}', '{"independent_rows": null}', "{"])
def test_an_unclear_card_is_ignored(with_card: Callable[[str], Path], card: str) -> None:
    assert LoadedVersion("rank", 1, with_card(card) / "1").independent_rows is False


def test_many_rows_run_in_parts_only_if_known_to_be_independent(
    with_card: Callable[[str], Path],
) -> None:
    many = request(score=np.zeros(300, np.float32))
    for card, largest in (("{}", 1 / 300), ('{"independent_rows": true}', 1 / 44)):
        engine = Engine(EngineOptions(poll_seconds=0.05))
        assert engine.start([ModelEntry("rank", (with_card(card),))])
        response = from_proto(engine.predict(many).outputs["probability"])
        engine.stop()
        assert response.shape == (300,)
        assert response.max() == pytest.approx(largest)


def test_rows_that_may_depend_on_others_do_not_run_alone(saved: Path) -> None:
    signature = LoadedVersion("rank", 1, saved / "1").signatures["two"]
    words = np.array([b"1", b"x"], object)
    with pytest.raises(Exception, match="StringToNumberOp could not correctly convert string: x") as raised:
        signature.run({"words": words})
    assert "words[0]" not in str(raised.value)
