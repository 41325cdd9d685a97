import grpc
import pytest

from keraserve_embedded import errors
from keraserve_embedded.api.grpc_service import STATUS
from keraserve_embedded.errors import CODES, Code, EmbeddedError, ExecutionError, LoadError, client_message


def below(parent: type[EmbeddedError]) -> set[type[EmbeddedError]]:
    return {parent}.union(*(below(child) for child in parent.__subclasses__()))


ABSTRACT = {EmbeddedError, errors.RequestError, errors._CodedError}


def test_every_error_has_a_code_and_nothing_else_has() -> None:
    assert below(EmbeddedError) - ABSTRACT == set(CODES)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    for error in below(EmbeddedError) - {errors._CodedError}:
        assert error.__name__ in errors.__doc__


@pytest.mark.parametrize("code", Code)
def test_every_code_is_grpcs(code: Code) -> None:
    assert STATUS[code].name == code.name
    assert isinstance(STATUS[code], grpc.StatusCode)


def test_an_error_may_carry_its_own_code() -> None:
    assert ExecutionError("x", Code.RESOURCE_EXHAUSTED).code == Code.RESOURCE_EXHAUSTED
    assert LoadError("x").code == CODES[LoadError]


def test_a_long_message_is_cut_as_tensorflow_serving_does() -> None:
    assert client_message(LoadError("x" * 1024)) == "x" * 1024
    assert client_message(LoadError("x" * 2000)) == "x" * 1024 + "...TRUNCATED"
