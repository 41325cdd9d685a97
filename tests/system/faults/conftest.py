"""The running product in its forms, once for all test files of a worker."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from system.faults.product import SLOTS, Product, running


@pytest.fixture(scope="session")
def product(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A gateway and the embedded server, with the model `colours`."""
    with running(models, tmp_path_factory.mktemp("product")) as product:
        yield product


@pytest.fixture(scope="session")
def in_process(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A gateway that runs the model server in its process."""
    with running(models, tmp_path_factory.mktemp("in-process"), in_process=True) as product:
        yield product


@pytest.fixture(scope="session")
def without_batching(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A gateway with few slots, and an embedded server that runs each request alone."""
    folder = tmp_path_factory.mktemp("without-batching")
    with running(models, folder, f"--max-in-flight={SLOTS}", batching=False) as product:
        yield product


@pytest.fixture(params=["product", "in_process"])
def either(request: pytest.FixtureRequest) -> Product:
    """Two processes, then one."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["product", "without_batching", "in_process"])
def each(request: pytest.FixtureRequest) -> Product:
    """The same, and without batching, where no limit on batches applies."""
    return request.getfixturevalue(request.param)
