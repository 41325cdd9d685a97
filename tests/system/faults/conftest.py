"""The product under test in its two forms, for all files that one worker runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from system.faults.product import Product, running


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


@pytest.fixture(params=["product", "in_process"])
def either(request: pytest.FixtureRequest) -> Product:
    """One after the other."""
    return request.getfixturevalue(request.param)
