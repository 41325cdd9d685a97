"""Single requests to a running system, to check that it is ready and that its responses are right."""

import socket
import statistics
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, cast

import grpc

from bench.load.specification import GRPC
from bench.processes import BenchError
from bench.systems.endpoint import Best, Endpoint
from bench.workspace import Workspace

_SHARE_OF_LABELS, _LARGEST_DIFFERENCE = 0.9, 0.02
"""The least share of labels that are the model's, and the largest median difference of probabilities. Other
decoders and batch sizes round in other ways, and of two equally probable classes either may be the best."""


@cache
def body(file: str) -> bytes:
    """Read a request's body."""
    return Path(file).read_bytes()


def send(endpoint: Endpoint, port: int, model: str, data: bytes) -> bytes:
    """Send one request with an ordinary client; returns the body of the response.

    Raises:
        OSError: no response came, or one with another status than 200.
    """
    path = endpoint.path.format(model=model)
    if endpoint.content_type != GRPC:
        return _http(port, "POST", path, data, {"Content-Type": endpoint.content_type})
    with cast(Any, grpc).insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            return channel.unary_unary(path)(data, timeout=30)
        except grpc.RpcError as error:
            raise OSError(str(error)) from error


def _http(port: int, method: str, path: str, data: bytes | None, headers: Mapping[str, str]) -> bytes:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            body = response.read()
        except HTTPException as error:
            raise OSError(str(error)) from error
    if response.status != 200:
        raise OSError(f"{method} {path}: {response.status} {body[:300]!r}")
    return body


def responds(endpoint: Endpoint, port: int, workspace: Workspace) -> bool:
    """Return whether an endpoint classifies an image by now."""
    try:
        with socket.create_connection(("127.0.0.1", port)):  # without the cost of a gRPC channel
            pass
        send(endpoint, port, workspace.model, body(workspace.bodies(endpoint.bodies)[0]))
    except OSError:
        return False
    return True


def is_ready(port: int) -> bool:
    """Return whether a gateway serves every model."""
    try:
        _http(port, "GET", "/readyz", None, {})
    except OSError:
        return False
    return True


def check(endpoint: Endpoint, port: int, workspace: Workspace, expected: Sequence[Best]) -> None:
    """Compare an endpoint's response to every image with the model's own.

    Raises:
        BenchError: they differ.
    """
    files = workspace.bodies(endpoint.bodies)
    found = [endpoint.read(send(endpoint, port, workspace.model, body(file))) for file in files]
    agreeing = sum(one[0] == other[0] for one, other in zip(found, expected, strict=True))
    differences = [abs(one[1] - other[1]) for one, other in zip(found, expected, strict=True)]
    if agreeing < _SHARE_OF_LABELS * len(found) or statistics.median(differences) > _LARGEST_DIFFERENCE:
        raise BenchError(
            f"{endpoint.title}: {agreeing} of {len(found)} labels are the model's, and probabilities differ"
            f" by {statistics.median(differences):.3f} (median): a wrong system is not timed"
        )
