"""The gateway with a model server that does nothing: memory, start, and processor time of an image."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.context import Context
from bench.goal import at_most, median_goal
from bench.load.specification import LoadSpecification
from bench.processes import Command, Started, free_port, started
from bench.results import Figure
from bench.systems import requests
from bench.systems.commands import gateway
from bench.systems.endpoint import JPEG, classify_path
from bench.workspace import ROOT, BodyKind, Workspace

START = Figure("gateway alone: start to ready", "s")
IDLE_MEMORY = Figure("gateway alone: idle", "MB")
PROCESSOR_TIME = Figure("gateway alone: processor time of an image", "ms")
LOADED_MEMORY = Figure("gateway alone: under load", "MB")
GOALS = [
    median_goal("gateway alone: idle memory (PSS)", at_most(100), IDLE_MEMORY),
    median_goal("gateway alone: cold start to ready", at_most(1.5), START),
    median_goal("gateway alone: processor time of an image", at_most(0.5), PROCESSOR_TIME),
]
_CLIENTS, _IDLE_SECONDS = 32, 1.0


@contextmanager
def starting(workspace: Workspace) -> Iterator[tuple[int, Started]]:
    """Start the gateway and the null model server; yields the gateway's port and process."""
    port, behind = free_port(), free_port()
    command = [sys.executable, "-m", "bench.systems.null_model_server", str(behind)]
    with (
        started("null-server", [Command(command, {}, ROOT / "benchmarks")], workspace.logs),
        started("gateway-alone", [gateway(workspace, port, behind)], workspace.logs) as running,
    ):
        yield port, running


def measure(port: int, running: Started, context: Context) -> None:
    """Measure a gateway that is just starting."""
    results, workspace = context.results, context.workspace
    results.add(START, running.wait(lambda: requests.is_ready(port)))
    time.sleep(_IDLE_SECONDS)
    results.add(IDLE_MEMORY, running.pss() / 1e6)
    path, bodies = classify_path(workspace.model), workspace.bodies(BodyKind.JPEG)
    found, spent = context.watched_load(running, LoadSpecification(port, path, JPEG, bodies, _CLIENTS))
    results.add(PROCESSOR_TIME, spent * 1000 / len(found.milliseconds))
    results.add(LOADED_MEMORY, running.pss() / 1e6)
