"""Asking a running system: whether it is ready, whether its answers are right, how fast they come."""

import json
import socket
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, cast

import grpc

from bench.place import ROOT
from bench.plan import Plan, Round
from bench.processes import BenchError
from bench.systems import GRPC, Door

_AGREEING, _OF_PROBABILITY = 0.9, 0.02
"""Of the labels; between probabilities. Other decoders and sizes of a batch round in other ways, and where
two classes are as good as each other, another one is the best."""


@cache
def body(file: str) -> bytes:
    """Read a request's body."""
    return Path(file).read_bytes()


def answer(door: Door, port: int, data: bytes) -> bytes:
    """Ask once, with an ordinary client.

    Raises:
        OSError: nobody answers, or not well.
    """
    if door.content_type != GRPC:
        return _http(port, "POST", door.path, data, {"Content-Type": door.content_type})
    with cast(Any, grpc).insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            return channel.unary_unary(door.path)(data, timeout=30)
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


def answers(door: Door, port: int, data: bytes) -> bool:
    """Tell whether it answers well by now."""
    try:
        with socket.create_connection(("127.0.0.1", port)):  # a gRPC channel would cost what is waited for
            pass
        answer(door, port, data)
    except OSError:
        return False
    return True


def is_ready(port: int) -> bool:
    """Tell whether a gateway serves every model."""
    try:
        _http(port, "GET", "/readyz", None, {})
    except OSError:
        return False
    return True


def check(door: Door, port: int, bodies: Sequence[str], right: tuple[list[str], list[float]]) -> None:
    """Compare its answer about every picture with the model's own.

    Raises:
        BenchError: it says something else.
    """
    named = [door.named(answer(door, port, body(file))) for file in bodies]
    agreeing = sum(label == other for (label, _), other in zip(named, right[0], strict=True))
    apart = [abs(one - other) for (_, one), other in zip(named, right[1], strict=True)]
    if agreeing < _AGREEING * len(named) or statistics.median(apart) > _OF_PROBABILITY:
        raise BenchError(
            f"{door.title}: {agreeing} of {len(named)} labels are the model's, and probabilities differ by"
            f" {statistics.median(apart):.3f} in the middle: what is wrong need not be timed"
        )


def load(plan: Plan) -> Round:
    """Run the load generator in a process of its own."""
    command = [sys.executable, "-m", "bench.load"]
    done = subprocess.run(
        command,
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        cwd=ROOT / "benchmarks",
        timeout=plan.warm_up + plan.seconds + 120,
    )
    if done.returncode:
        raise BenchError(f"the load generator failed:\n{done.stderr[-2000:]}")
    found = Round(**json.loads(done.stdout))
    found.statuses = {int(status): count for status, count in found.statuses.items()}  # JSON's keys are text
    if not found.milliseconds:
        raise BenchError(f"port {plan.port}{plan.path}: nothing was answered well, only {found.statuses}")
    return found
