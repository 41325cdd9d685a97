"""The public names, the tree of errors, and the settings that are rejected."""

import asyncio
import pickle
from collections.abc import Iterator
from importlib import resources
from typing import Any

import grpc
import grpc.aio
import pytest

import keraserve_client
from keraserve_client import _errors as errors
from keraserve_client import _steps as steps


def subclasses(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_error_is_public_and_in_the_tree() -> None:
    tree = list(subclasses(errors.KeraserveError))
    assert len(tree) == len(set(tree)) == 13
    for kind in tree:
        assert getattr(keraserve_client, kind.__name__) is kind
        assert kind.__name__ in (errors.__doc__ or "")
    by_status = set(errors.BY_STATUS.values())
    assert set(errors.StatusError.__subclasses__()) <= by_status


def test_errors_can_be_pickled() -> None:
    for kind in (errors.NotFound, errors.ConnectionFailed, errors.DeadlineExceeded):
        error = pickle.loads(pickle.dumps(kind("x", status_code=404, request_id="r", retry_after=2)))  # noqa: S301
        assert (type(error), error.detail, error.status_code) == (kind, "x", 404)
        assert (error.request_id, error.retry_after) == ("r", 2)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_an_invalid_timeout_is_rejected(seconds: float) -> None:
    with pytest.raises(errors.InvalidInput, match="timeout"):
        steps.Deadline(seconds)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keraserve_client.AsyncClient("http://"),
        lambda: keraserve_client.Client(retries=-1),
        lambda: keraserve_client.GrpcClient(timeout=0),
        lambda: keraserve_client.Client().classify("m", b"", top_k=0),
        lambda: keraserve_client.Client().classify("m", b"", version=1, label="a"),
    ],
)
def test_wrong_settings_are_named_at_once(make: Any) -> None:
    with pytest.raises(errors.InvalidInput):
        make()


@pytest.mark.parametrize("kind", ["Client", "GrpcClient", "AsyncClient", "AsyncGrpcClient"])
def test_leaving_a_context_closes(kind: str) -> None:
    make: Any = getattr(keraserve_client, kind)

    async def asynchronous() -> None:
        async with make() as client:
            assert isinstance(client, keraserve_client.AsyncVerbs)
            assert await client.ready(timeout=5) in (True, False)
        with pytest.raises((RuntimeError, grpc.aio.UsageError)):
            await client.ready()

    if kind.startswith("Async"):
        asyncio.run(asynchronous())
        return
    with make() as client:
        assert isinstance(client, keraserve_client.Verbs)
    with pytest.raises((RuntimeError, ValueError), match="closed"):
        client.ready()


def test_the_public_names_are_sorted_and_typed() -> None:
    assert (resources.files("keraserve_client") / "py.typed").is_file()
    assert keraserve_client.__all__ == sorted(keraserve_client.__all__)
    assert all(hasattr(keraserve_client, name) for name in keraserve_client.__all__)


@pytest.mark.parametrize("target", ["http://127.0.0.1:8500", "HTTPS://models.example", ""])
def test_a_url_is_no_grpc_target(target: str) -> None:
    for kind in (keraserve_client.GrpcClient, keraserve_client.AsyncGrpcClient):
        with pytest.raises(errors.InvalidInput, match=r"is no gRPC target: write host:port.*Client and"):
            kind(target)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", ""])
def test_an_address_without_http_is_no_url(url: str) -> None:
    for kind in (keraserve_client.Client, keraserve_client.AsyncClient):
        with pytest.raises(errors.InvalidInput, match="it has to start with http:// or https://"):
            kind(url)
