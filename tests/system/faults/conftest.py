"""The product under test in its two forms, for all files that one worker runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from system.faults.product import PLACES, Product, running


@pytest.fixture(scope="session")
def product(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The gateway before the embedded server, with the model `colours`."""
    with running(models, tmp_path_factory.mktemp("product")) as product:
        yield product


@pytest.fixture(scope="session")
def in_process(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The gateway with the models in its own process."""
    with running(models, tmp_path_factory.mktemp("in-process"), in_process=True) as product:
        yield product


@pytest.fixture(scope="session")
def without_batching(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A gateway of few places before an embedded server that runs each request alone."""
    folder = tmp_path_factory.mktemp("without-batching")
    with running(models, folder, f"--max-in-flight={PLACES}", batching=False) as product:
        yield product


@pytest.fixture(params=["product", "in_process"])
def either(request: pytest.FixtureRequest) -> Product:
    """One after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["product", "without_batching", "in_process"])
def each(request: pytest.FixtureRequest) -> Product:
    """One after the other, and the one without batching: whose limits on batches reject nothing."""
    return request.getfixturevalue(request.param)
