"""docs/gateway.md and docs/client.md have a line for all of the interface, and a test for each line."""

import ast
import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from shown_by import Page, marked

import keraserve_client
import keraserve_gateway
from keraserve_client import _errors as client_errors
from keraserve_client.cli import app as commands
from keraserve_gateway import errors
from keraserve_gateway.http.app import create_app
from keraserve_gateway.http.openapi_bodies import REJECTIONS
from keraserve_gateway.settings import ENV_PREFIX, Settings
from keraserve_gateway.statuses import STATUSES, kind
from keraserve_gateway.telemetry.metrics import Metrics
from keraserve_protocol.services import CALLS

GATEWAY = Page("gateway.md", "gateway", marked=True)
CLIENT = Page("client.md", "client")
MODULES = sorted(Path(keraserve_gateway.__path__[0]).rglob("*.py"))
ONLY_ROOTS = {errors.GatewayError, errors.ModelServerError}  # nothing is raised as these themselves
LEVELS = {"info", "warning", "error", "exception"}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings(), None)  # type: ignore[arg-type]  # without a model server


def nodes(kind_of: type) -> Iterator[Any]:
    for module in MODULES:
        yield from (node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, kind_of))


@pytest.mark.parametrize(("page", "least"), [(GATEWAY, 20), (CLIENT, 70)])
def test_every_test_that_is_named_exists(page: Page, least: int) -> None:
    assert len(page.named()) >= least
    assert page.missing() == []


def test_every_line_of_the_gateways_page_is_shown_by_a_test_that_names_it() -> None:
    assert len(GATEWAY.rows) > 170
    assert len(marked()) > 170
    assert GATEWAY.unmarked() == set()


def test_a_marker_names_one_line() -> None:
    assert GATEWAY.line("GET /v1/models") == "GET /v1/models"
    for text in ("no such line", "POST /v1"):
        with pytest.raises(ValueError, match="lines begin with"):
            GATEWAY.line(text)


def shortened(path: str) -> str:
    """Write a path of the router as the page does: `{m}` for the ways to name a model and its version."""
    path = re.sub(r":segment}|:path}", "}", path)
    path = re.sub(r"^/web/.*", "/web/{file}", path)
    return re.sub(r"{model}(/versions/{version}|/labels/{label})?", "{m}", path)


def test_every_path_has_a_line_and_no_other_has_one(app: FastAPI) -> None:
    routes = {
        f"{method} {shortened(str(route.path))}"
        for route in iter_route_contexts(app.routes)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert "POST /v1/models/{m}:predict" in routes
    assert {one for one in GATEWAY.lines() if re.match("[A-Z]+ /", one)} == routes


def test_every_operation_is_in_the_line_of_its_path(app: FastAPI) -> None:
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            name = re.sub("_(version|label)$", "", operation["operationId"])
            assert GATEWAY.lines()[f"{method.upper()} {shortened(path)}"][2] == f"`{name}`", path


def test_every_error_has_a_line_with_its_statuses() -> None:
    table = GATEWAY.lines(cells=4)
    for error, status in STATUSES.items():
        if error not in ONLY_ROOTS:
            assert table[kind(error(""))][1:3] == [str(status.http), f"`{status.grpc.name}`"], error


def test_every_other_status_has_a_line() -> None:
    named = {node.attr for node in nodes(ast.Attribute) if getattr(node.value, "id", "") == "HTTPStatus"}
    assert "REQUEST_HEADER_FIELDS_TOO_LARGE" in named
    told = {row[1] for row in GATEWAY.lines(cells=4).values()} | set(GATEWAY.lines(cells=2))
    for status in {HTTPStatus[name].value for name in named} | set(REJECTIONS) | {404, 405}:
        assert str(status) in told, status


def test_every_call_and_setting_has_a_line() -> None:
    assert {call.name for call in CALLS} <= set(GATEWAY.lines())
    settings = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert {one for one in GATEWAY.lines() if one.startswith(ENV_PREFIX)} == settings


def test_every_metric_has_a_line() -> None:
    names = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in Metrics().registry.collect()
    }
    assert {one for one in GATEWAY.lines() if one.startswith("keraserve_gateway_")} == names


def event(call: ast.Call) -> str | None:
    """Return the event of a call that logs, with FILE for a formatted value; None for another call."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS:
        return None
    if ast.unparse(call.func.value) not in {"log", "structlog.get_logger()"}:
        return None
    parts = getattr(call.args[0], "values", [call.args[0]])
    return "".join(part.value if isinstance(part, ast.Constant) else "FILE" for part in parts)


def test_every_log_line_has_a_line() -> None:
    events = {said for call in nodes(ast.Call) if (said := event(call))}
    assert {"request", "call", "FILE can't be read"} <= events
    assert events - set(GATEWAY.lines()) == set()


def test_every_public_name_of_the_client_has_a_line() -> None:
    assert set(keraserve_client.__all__) - set(CLIENT.lines()) == set()


@pytest.mark.parametrize("kind_of", ["Client", "AsyncClient", "GrpcClient", "AsyncGrpcClient"])
def test_every_verb_and_argument_of_the_client_has_a_line(kind_of: str) -> None:
    class_ = getattr(keraserve_client, kind_of)
    verbs = {name for name, _ in inspect.getmembers(class_, inspect.isfunction) if not name.startswith("_")}
    assert len(verbs) == 9
    for name in verbs:
        for argument in list(inspect.signature(getattr(class_, name)).parameters)[1:]:
            assert f"`{argument}`" in CLIENT.lines()[name][1], (name, argument)
    for argument in inspect.signature(class_).parameters:
        assert f"`{argument}`" in CLIENT.lines()[kind_of][1], argument


def test_every_status_of_the_client_has_a_line() -> None:
    for status, error in client_errors.BY_STATUS.items():
        assert str(status) in CLIENT.lines()[error.__name__][1], status
    (retried,) = [row[0] for row in CLIENT.rows if "are retried, and other" in row[0]]
    assert {int(status) for status in re.findall(r"\d+", retried)} == client_errors.RETRIABLE


def test_every_command_and_option_has_a_line() -> None:
    group: Any = typer.main.get_command(commands)
    assert len(group.commands) == 5
    for name, command in group.commands.items():
        for option in (one for parameter in command.params for one in parameter.opts if one.startswith("--")):
            assert f"`{option}`" in CLIENT.lines()[f"keraserve {name}"][1], (name, option)
