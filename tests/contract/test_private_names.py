"""Undocumented names of other projects that we use: these tests fail when a release changes them.

`pyproject.toml` has the range of versions that were tried; CI also runs this file with the lowest of them.
"""

import ast
import importlib
import inspect
import tomllib
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server, ServerState

ROOT = Path(__file__).parents[2]
SOURCES = {
    name: ROOT / folder / name
    for name, folder in {
        "keraserve_gateway": "serving/gateway",
        "keraserve_embedded": "serving/embedded",
        "keraserve_models": "serving/models",
        "keraserve_protocol": "serving/protocol",
        "keraserve_client": "clients/python",
        "keraserve_training": "training",
    }.items()
}
# Attributes with an underscore that we use, and the project that has them.
PRIVATE = {
    "_make_callable_from_options": "tensorflow",
    "_flatten_layers": "keras",
    "_inbound_nodes": "keras",
    "_cardinality": "tensorflow",
    "_processes": "Python",
}
# Modules that are no part of what their project documents, and the names that we take from them.
PRIVATE_MODULES = {
    "tensorflow.core.framework.tensor_pb2": {"TensorProto"},
    "tensorflow.core.protobuf": {"config_pb2", "saved_model_pb2"},
    "tensorflow.core.protobuf.config_pb2": {"CallableOptions"},
    "tensorflow.core.protobuf.saved_model_pb2": {"SavedModel"},
    "tensorflow.python.framework": {"convert_to_constants"},
    "tensorflow.python.framework.function_def_to_graph": {"function_def_to_graph_def"},
    "tensorflow.python.saved_model": {"fingerprinting_utils"},
}
OTHERS = {"_exit", "_asdict", "_replace"}  # documented, in spite of the underscore


def private(tree: ast.AST) -> tuple[set[str], set[str]]:
    """The underscored attributes that a file uses, and those that it defines."""
    used, defined = set[str](), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            used.add(node.attr)
            own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if own and isinstance(node.ctx, ast.Store):
                defined.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
    return used, defined


def test_the_list_of_private_names_is_complete() -> None:
    used, defined = set[str](), set[str]()
    for folder in SOURCES.values():
        for file in set(folder.rglob("*.py")) - set(folder.rglob("*_pb2.py")):
            more = private(ast.parse(file.read_text()))
            used |= more[0]
            defined |= more[1]
    modules = {path.stem for folder in SOURCES.values() for path in folder.rglob("*.py")}
    assert used - defined - modules - OTHERS == set(PRIVATE)


def is_private(module: str) -> bool:
    parts = module.split(".")
    inner = parts[:2] in (
        ["tensorflow", "core"],
        ["tensorflow", "python"],
        ["keras", "src"],
        ["tf_keras", "src"],
    )
    return inner or (parts[0] not in SOURCES and any(part.startswith("_") for part in parts[1:]))


def test_the_list_of_private_modules_is_complete() -> None:
    found: dict[str, set[str]] = {}
    for file in (file for folder in SOURCES.values() for file in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and is_private(node.module):
                found.setdefault(node.module, set()).update(alias.name for alias in node.names)
            elif isinstance(node, ast.Import):
                assert not any(is_private(alias.name) for alias in node.names), file
    assert found == PRIVATE_MODULES
    for module, names in PRIVATE_MODULES.items():
        there = importlib.import_module(module)
        assert all(hasattr(there, name) or find_spec(f"{module}.{name}") for name in names), module


CONNECTION = {  # methods that `http.server.connection` and `rest_connection` override or call
    "connection_made": ["transport"],
    "connection_lost": ["exc"],
    "data_received": ["data"],
    "pause_writing": [],
    "resume_writing": [],
    "on_message_begin": [],
    "on_url": ["url"],
    "on_header": ["name", "value"],
    "on_headers_complete": [],
    "on_body": ["body"],
    "on_message_complete": [],
    "on_response_complete": [],
    "send_400_response": ["msg"],
    "shutdown": [],
    "timeout_keep_alive_handler": [],
    "_unset_keepalive_if_required": [],
    "_start_asgi_task": ["cycle", "app"],
}
CALLED = {  # names that uvicorn itself calls; else our overrides would have no effect
    "on_headers_complete": {"_start_asgi_task", "should_keep_alive", "get_http_version", "get_method"},
    "data_received": {"send_400_response", "_unset_keepalive_if_required", "feed_data", "HttpParserError"},
}


def test_uvicorns_connection_has_these_methods() -> None:
    for name, parameters in CONNECTION.items():
        method: Any = getattr(HttpToolsProtocol, name)
        assert list(inspect.signature(method).parameters) == ["self", *parameters], name
    for name, called in CALLED.items():
        code: Any = getattr(HttpToolsProtocol, name).__code__
        assert called <= set(code.co_names), name


async def test_uvicorns_connection_has_these_attributes() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    config = Config(app, lifespan="off", log_config=None)
    config.load()
    state = ServerState()
    connection: Any = HttpToolsProtocol(config, state, {}, None)
    for name in ("parser", "transport", "flow", "headers", "cycle", "pipeline", "loop", "scope", "app"):
        assert hasattr(connection, name), name
    assert connection.connections is state.connections
    assert connection.tasks is state.tasks
    assert connection.timeout_keep_alive == config.timeout_keep_alive
    assert connection.timeout_keep_alive_task is None
    assert {"total_requests", "default_headers"} <= set(vars(state))
    connection.on_message_begin()
    assert (connection.url, connection.headers) == (b"", [])
    assert connection.scope["headers"] is connection.headers
    assert {"resume_reading", "pause_reading", "drain"} <= set(dir(FlowControl))
    assert "write_paused" in FlowControl.__init__.__code__.co_names


def test_uvicorns_cycle_and_server_have_these_attributes() -> None:
    written = set(RequestResponseCycle.__init__.__code__.co_names)
    assert {"response_complete", "response_started", "keep_alive", "disconnected", "transport"} <= written
    assert {"scope", "message_event", "on_response"} <= written
    assert list(inspect.signature(RequestResponseCycle.run_asgi).parameters) == ["self", "app"]
    assert inspect.iscoroutinefunction(RequestResponseCycle.run_asgi)
    assert {"should_exit", "server_state"} <= set(Server.__init__.__code__.co_names)
    assert "capture_signals" in Server.serve.__code__.co_names


def test_tensorflow_and_keras_have_these_names() -> None:
    import keras
    import tensorflow as tf
    from tensorflow.python.saved_model import fingerprinting_utils

    assert callable(tf.compat.v1.Session._make_callable_from_options)
    assert "include_self" in inspect.signature(keras.layers.Layer._flatten_layers).parameters
    assert callable(fingerprinting_utils.write_fingerprint)
    with ProcessPoolExecutor(1) as pool:
        assert hasattr(pool, "_processes")


@pytest.mark.parametrize(
    ("project", "name"),
    [
        ("serving/gateway", "uvicorn"),
        ("serving/embedded", "uvicorn"),
        ("serving/embedded", "tensorflow"),
        ("serving/models", "tensorflow"),
        ("serving/models", "keras"),
        ("training", "tensorflow"),
        ("training", "keras"),
    ],
)
def test_these_dependencies_have_an_upper_version(project: str, name: str) -> None:
    listed = tomllib.loads((ROOT / project / "pyproject.toml").read_text())["project"]["dependencies"]
    (one,) = [found for found in map(Requirement, listed) if found.name == name]
    assert version(name) in one.specifier
    assert {"<", ">="} == {part.operator for part in one.specifier}
