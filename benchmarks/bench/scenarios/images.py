"""The table of systems: images a second of each, with one, eight and thirty-two clients."""

from collections.abc import Callable, Sequence

from bench.context import Context
from bench.goal import Goal, Measured, at_least, at_most
from bench.processes import started
from bench.results import ClosedLoop, Results
from bench.scenarios.upper_bound import LARGEST_BATCH
from bench.spread import ratio
from bench.systems import compared as systems
from bench.systems import requests
from bench.systems.compared import System
from bench.systems.endpoint import Best, Endpoint

CLIENTS = (1, 8, 32)
MOST_CLIENTS = CLIENTS[-1]


def measure(
    system: System, context: Context, expected: Sequence[Best], every: Sequence[int] = CLIENTS
) -> None:
    """Measure a system in one round, after its responses have been checked; `every`: numbers of clients."""
    workspace, ports = context.workspace, system.ports()
    with started(system.name, system.commands(workspace, ports), workspace.logs) as running:
        for endpoint in system.endpoints:
            port = ports[endpoint.port]
            running.wait(lambda endpoint=endpoint, port=port: requests.responds(endpoint, port, workspace))
            requests.check(endpoint, port, workspace, expected)
            for clients in every:
                one, spent = context.watched_load(running, endpoint.load(port, workspace, clients))
                loop = context.results.add_loop(endpoint, clients, one, spent)
                context.tell(
                    f"{endpoint.title}, {clients}: {loop.rates[-1]:.0f}/s, p99 {loop.p99[-1]:.1f} ms"
                )


def _to(
    ours: Endpoint, theirs: Endpoint, clients: int, values: Callable[[ClosedLoop], Sequence[float]]
) -> Measured:
    """The ratio of an endpoint's values to another one's."""

    def measured(results: Results) -> float | None:
        one, other = results.loop(ours, clients), results.loop(theirs, clients)
        return ratio(values(one), values(other)) if one and other else None

    return measured


def _to_upper_bound(endpoint: Endpoint) -> Measured:
    def measured(results: Results) -> float | None:
        loop, bound = results.loop(endpoint, MOST_CLIENTS), results.upper_bound(LARGEST_BATCH)
        return ratio(loop.rates, bound) if loop and bound else None

    return measured


def _rates(loop: ClosedLoop) -> Sequence[float]:
    return loop.rates


GOALS = [
    Goal(
        "one process, 1 client: images/s, of good FastAPI's",
        at_least(1.1),
        _to(systems.ONE_PROCESS, systems.GOOD_FASTAPI, 1, _rates),
    ),
    Goal(
        "one process, 32 clients: images/s, of LitServe's",
        at_least(2),
        _to(systems.ONE_PROCESS, systems.LITSERVE, 32, _rates),
    ),
    Goal(
        "the same: p99, of LitServe's",
        at_most(0.7),
        _to(systems.ONE_PROCESS, systems.LITSERVE, 32, lambda loop: loop.p99),
    ),
    Goal("the same: images/s, of the upper bound", at_least(0.6), _to_upper_bound(systems.ONE_PROCESS)),
    Goal(
        "one process, `auto`, 32 clients: images/s, of LitServe's",
        at_least(4),
        _to(systems.ONE_PROCESS_AUTO, systems.LITSERVE, 32, _rates),
    ),
    Goal(
        "one process, `auto`, 32 clients: images/s, of the upper bound",
        at_least(1.1),
        _to_upper_bound(systems.ONE_PROCESS_AUTO),
    ),
    Goal(
        "two processes, 32 clients: images/s, of LitServe's",
        at_least(1.3),
        _to(systems.TWO_PROCESSES, systems.LITSERVE, 32, _rates),
    ),
    Goal(
        "two processes, 1 client: p50, of good FastAPI's",
        at_most(1.5),
        _to(systems.TWO_PROCESSES, systems.GOOD_FASTAPI, 1, lambda loop: loop.p50),
    ),
    Goal(
        "gRPC to the embedded server, 32 clients: images/s, of the upper bound",
        at_least(0.45),
        _to_upper_bound(systems.EMBEDDED_GRPC),
    ),
]
