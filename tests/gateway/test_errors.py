"""The tree of errors and its one table."""

from collections.abc import Iterator

import grpc
import pytest

from keraserve_gateway import errors, statuses
from keraserve_gateway.http import error_responses
from keraserve_gateway.upstream import model_server


def _tree(root: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


@pytest.mark.parametrize("kind", list(_tree(errors.GatewayError)))
def test_every_error_has_statuses_and_is_drawn_in_the_tree(kind: type[errors.GatewayError]) -> None:
    status = statuses.STATUSES[kind]
    assert 400 <= status.http < 600
    assert status.http != 422
    assert status.grpc is not grpc.StatusCode.OK
    assert errors.__doc__ is not None
    assert f" {kind.__name__} " in errors.__doc__.replace("\n", " ")


def test_the_table_has_nothing_else() -> None:
    assert set(statuses.STATUSES) == set(_tree(errors.GatewayError))


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_of_the_model_server_is_translated(code: grpc.StatusCode) -> None:
    error = model_server.translated(code, "what it said")
    assert statuses.grpc_status(error) is code
    assert "127.0.0.1" not in error.detail


def test_the_model_servers_errors_have_tensorflow_servings_http_statuses() -> None:
    from keraserve_protocol.rest import HTTP_STATUS

    same = {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
    same |= {"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNKNOWN", "DATA_LOSS"}
    for name in same:
        code = grpc.StatusCode[name]
        assert statuses.STATUSES[type(model_server.translated(code, "x"))].http == HTTP_STATUS[code], name


@pytest.mark.parametrize(
    ("method", "path", "compatible"),
    [
        ("GET", "/v1/models", False),
        ("GET", "/v1/models/a", True),
        ("GET", "/v1/models/a/versions/x/metadata", True),
        ("GET", "/v1/models/a/labels/b", True),
        ("GET", "/v1/models/a:b", True),
        ("GET", "/v1/models/a:predict", False),
        ("GET", "/v1/models/a/versions/1:2", True),
        ("POST", "/v1/models/a/labels/:b:predict", True),
        ("DELETE", "/v1/models/a", False),
        ("POST", "/v1/models/a:predict", True),
        ("POST", "/v1/models/a/labels/b:regress", True),
        ("POST", "/v1/models/a/images:classify", False),
        ("POST", "/v1/models/a:explain", False),
        ("GET", "/", False),
    ],
)
def test_tensorflow_servings_calls_have_its_form_of_errors(
    method: str, path: str, *, compatible: bool
) -> None:
    assert error_responses.is_compatible({"method": method, "path": path}) is compatible
