"""`classify_many` of all four clients, against the real gateway and the real embedded server."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from played_plans import play

from keraserve_client import (
    AsyncClient,
    AsyncGrpcClient,
    BadRequest,
    Client,
    ConnectionFailed,
    Failure,
    GrpcClient,
    InvalidInput,
    NotFound,
    Prediction,
    StatusError,
    TooLarge,
    Unavailable,
)
from keraserve_client import _many as many
from keraserve_client._images import EncodedImage
from keraserve_client._plans import Target
from keraserve_client._wire import HttpPlans, HttpResponse

COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230)}


def outcomes(client: Any, *arguments: Any, most: int | None = None, **settings: Any) -> list[Any]:
    """Take the outcomes, all or the first `most`, by `for` or `async for`, and close the generator."""
    if not hasattr(client, "loop"):
        with contextlib.closing(client.classify_many(*arguments, **settings)) as found:
            return list(itertools.islice(found, most))

    async def collect() -> list[Any]:
        taken: list[Any] = []
        async with contextlib.aclosing(client.client.classify_many(*arguments, **settings)) as found:
            async for outcome in found:
                taken.append(outcome)
                if len(taken) == most:
                    break
        return taken

    return client.loop.run(collect())


def drawn(name: str) -> np.ndarray:
    return np.full((9, 7, 3), COLOURS[name], np.uint8)


@pytest.mark.parametrize("concurrency", [1, 32])
def test_the_outcomes_are_in_the_order_of_the_images(client: Any, concurrency: int) -> None:
    names = [*itertools.islice(itertools.cycle([*COLOURS, "red"]), 29)]
    found = outcomes(client, "colours", (drawn(name) for name in names), 1, concurrency=concurrency)
    assert [outcome.best.label for outcome in found] == names
    assert {len(outcome.classes) for outcome in found} == {1}
    assert {(outcome.model, outcome.version) for outcome in found} == {("colours", 1)}


def test_no_images_are_no_outcomes(client: Any) -> None:
    assert outcomes(client, "colours", []) == []


def test_a_version_is_chosen(client: Any, red: bytes) -> None:
    assert outcomes(client, "colours", [red], version=1)[0].version == 1
    assert outcomes(client, "colours", [red], label="stable")[0].version == 1


def test_an_image_that_fails_is_an_entry_and_the_others_go_on(
    client: Any, tmp_path: Path, red: bytes, green: bytes
) -> None:
    (tmp_path / "cut.png").write_bytes(red[:60])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "good.png").write_bytes(green)
    bad = [tmp_path / "missing.png", tmp_path / "cut.png", tmp_path / "notes.txt", np.zeros((2, 2, 3)), 5]
    images = [red, *bad, tmp_path / "good.png", *[green] * 9, red[:70], red]
    found = outcomes(client, "colours", images, concurrency=32)
    assert len(found) == len(images)
    assert found[0].best.label == found[-1].best.label == "red"
    assert [one.best.label for one in found[6:16]] == ["green"] * 10
    assert found[6].filename == "good.png"
    failed = [one for one in found if isinstance(one, Failure)]
    assert [one.filename for one in failed] == ["missing.png", "cut.png", "notes.txt", None, None, None]
    missing, cut, notes, floats, number, cut_too = (one.error for one in failed)
    assert isinstance(missing, FileNotFoundError)
    assert isinstance(cut, BadRequest)
    assert isinstance(notes, StatusError)
    assert isinstance(floats, InvalidInput)
    assert isinstance(number, InvalidInput)
    assert isinstance(cut_too, BadRequest)
    assert cut_too.status_code == 400


def test_a_source_without_end_is_read_a_little_ahead(client: Any, red: bytes) -> None:
    read = 0

    def source() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield red

    assert len(outcomes(client, "colours", source(), concurrency=8, most=40)) == 40
    assert 40 <= read <= 40 + 3 * 8


def test_with_one_at_a_time_nothing_is_read_ahead(client: Any, red: bytes) -> None:
    read: list[int] = []

    def source() -> Iterator[bytes]:
        for number in itertools.count():
            read.append(number)
            yield red

    outcomes(client, "colours", source(), concurrency=1, most=2)
    assert read == [0, 1]


def test_a_source_that_fails_ends_the_work(client: Any, red: bytes) -> None:
    def source() -> Iterator[bytes]:
        yield red
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        outcomes(client, "colours", source())


def test_images_that_come_asynchronously(client: Any, red: bytes, green: bytes) -> None:
    async def source() -> AsyncIterator[bytes]:
        for image in [red, green] * 5:
            yield image

    if hasattr(client, "loop"):
        found = outcomes(client, "colours", source(), concurrency=12)
        assert [outcome.best.label for outcome in found] == ["red", "green"] * 5
    else:
        with pytest.raises(InvalidInput, match="async"):
            client.classify_many("colours", source())


def test_an_error_of_all_images_is_raised(client: Any, red: bytes) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        outcomes(client, "nowhere", itertools.repeat(red))


@pytest.mark.parametrize("kind", [Client, AsyncClient, GrpcClient, AsyncGrpcClient])
def test_a_missing_server_is_raised(kind: Any, connect: Any, free_address: str, red: bytes) -> None:
    client = connect(
        kind, f"http://{free_address}" if kind in (Client, AsyncClient) else free_address, retries=0
    )
    with pytest.raises(ConnectionFailed):
        outcomes(client, "colours", itertools.repeat(red))


def test_wrong_settings_are_named_at_once(client: Any, red: bytes) -> None:
    call = getattr(client, "client", client).classify_many
    one = "that is one image"
    for images, settings, says in (
        (red, {}, one),
        ("a.png", {}, one),
        (Path("a.png"), {}, one),
        (drawn("red"), {}, one),
        (5, {}, "a int is no iterable"),
        ([red], {"concurrency": 0}, "concurrency has to be 1 or more"),
        ([red], {"top_k": 0}, "top_k"),
        ([red], {"timeout": 0}, "timeout"),
    ):
        with pytest.raises(InvalidInput, match=says):
            call("colours", images, **settings)


@pytest.mark.parametrize(
    ("concurrency", "requests", "images"),
    [(1, 1, 1), (4, 4, 1), (7, 7, 1), (8, 4, 2), (32, 4, 8), (64, 8, 8), (1000, 125, 8)],
)
def test_images_share_requests_by_concurrency(concurrency: int, requests: int, images: int) -> None:
    assert many.Shape.of(concurrency) == many.Shape(requests, images)


def test_large_images_are_sent_alone() -> None:
    sizes = [10, 20, 2_000_000, 600_000, 400_000, 100_000, 5]
    parts = many.loaded([bytes(size) for size in sizes])
    sent = [[len(image.data) for image in part] for part in parts if isinstance(part, list)]
    assert sent == [[10, 20], [2_000_000], [600_000, 400_000], [100_000, 5]]


def classified(count: int) -> HttpResponse:
    entry = b'{"filename": null, "classes": [{"label": "x", "probability": 1}]}'
    body = b'{"model":"m","version":1,"predictions":[%b]}' % b",".join([entry] * count)
    return HttpResponse(200, {}, body)


def test_images_that_are_too_many_together_are_sent_in_halves() -> None:
    large = TooLarge("more than 3", status_code=413)
    plan = HttpPlans().classify_each(Target("m"), [EncodedImage(b"x")] * 8, 1)
    two = classified(2)
    requests, found = play(plan, large, large, two, two, large, two, two)
    assert [request.body.count(b"filename=") for request in requests] == [8, 4, 2, 2, 4, 2, 2]
    assert all(isinstance(one, Prediction) for one in found)
    assert len(found) == 8


def test_an_unavailable_server_fails_the_images_of_its_request() -> None:
    error = Unavailable("loading", status_code=503)
    plan = HttpPlans().classify_each(Target("m"), [EncodedImage(b"x", "a.png"), EncodedImage(b"x")], 1)
    assert play(plan, error) == ([ANY], [Failure("a.png", error), Failure(None, error)])
