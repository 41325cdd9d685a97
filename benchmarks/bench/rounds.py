"""A whole run: in each round every system is measured, then every other scenario."""

from collections.abc import Callable
from typing import NamedTuple

from bench.context import Context
from bench.processes import BenchError, started
from bench.results import Results
from bench.scenarios import (
    beside_lists,
    by_wrk,
    classify_many,
    cold_start,
    gateway_alone,
    images,
    json_lists,
    networks,
    overload,
    small_images,
    upper_bound,
)
from bench.systems import requests
from bench.systems.compared import IN_PROCESS, SYSTEMS, TUTORIALS, System
from bench.workspace import Workspace


class _InProcess(NamedTuple):
    """A scenario for one process that runs gateway and model server."""

    name: str
    measure: Callable[[int, Context], None]
    needs_own_models: bool = False


_GATEWAY, _COLD, _LISTS, _NETWORKS = "gateway", "cold", "lists", "networks"
_IN_PROCESS = (
    _InProcess(_LISTS, json_lists.measure),
    _InProcess("overload", overload.measure),
    _InProcess("clothes", small_images.measure, needs_own_models=True),
    _InProcess("many", classify_many.measure),
    _InProcess("wrk", by_wrk.measure),
)
SCENARIOS = (_GATEWAY, _COLD, _NETWORKS, *(scenario.name for scenario in _IN_PROCESS))
"""What `--only` may name, as it may the systems."""


def run(context: Context, only: set[str]) -> None:
    """Measure all rounds, of the systems and scenarios in `only`, or of all if it is empty.

    Every second round takes the systems in the opposite order.

    Raises:
        BenchError: one of our systems can't be measured. A peer that fails is left out.
    """
    installed = _installed(context.workspace, context.results)
    chosen = [system for system in installed if not only or system.name in only]
    wanted = {name for name in SCENARIOS if not only or name in only}
    for number in range(context.timing.rounds):
        context.tell(f"round {number + 1} of {context.timing.rounds}")
        expected = upper_bound.measure(context)
        for system in chosen[:: -1 if number % 2 else 1]:
            try:
                images.measure(system, context, expected)
            except BenchError as error:
                if system.ours:
                    raise
                context.results.leave_out(system, str(error).splitlines()[0])
                context.tell(str(error))
                chosen = [one for one in chosen if one is not system]
        _scenarios(context, wanted, tutorials=TUTORIALS in installed)


def _scenarios(context: Context, wanted: set[str], *, tutorials: bool) -> None:
    if _GATEWAY in wanted:
        context.tell("the gateway alone")
        with gateway_alone.starting(context.workspace) as (port, running):
            gateway_alone.measure(port, running, context)
            beside_lists.measure(port, context)
    if _COLD in wanted:
        context.tell("cold start")
        cold_start.measure(context)
    if _NETWORKS in wanted and context.workspace.own:
        networks.measure(context)
    _in_process(context, [scenario for scenario in _IN_PROCESS if scenario.name in wanted])
    if _LISTS in wanted and tutorials:
        context.tell("lists, the tutorials' server")
        json_lists.measure_tutorials(context)


def _in_process(context: Context, scenarios: list[_InProcess]) -> None:
    workspace = context.workspace
    if not scenarios:
        return
    [port] = IN_PROCESS.ports()
    with started("in-process-scenarios", IN_PROCESS.commands(workspace, [port]), workspace.logs) as running:
        running.wait(lambda: requests.is_ready(port))
        for scenario in scenarios:
            if workspace.own or not scenario.needs_own_models:
                context.tell(f"one process: {scenario.name}")
                scenario.measure(port, context)


def _installed(workspace: Workspace, results: Results) -> list[System]:
    """The systems that can run here; the others are left out of the results."""
    kept: list[System] = []
    for system in SYSTEMS:
        if not system.installed:
            results.leave_out(system, "not installed; `make bench-peers` installs it")
        elif system.needs_keras_file and not workspace.own:
            results.leave_out(system, "needs a `.keras` file, and a repository has none")
        else:
            kept.append(system)
    return kept
