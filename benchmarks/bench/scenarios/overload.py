"""Four times as many requests as can be served: the goodput, and the time of accepted requests."""

from dataclasses import replace

from bench.context import Context
from bench.goal import at_least, at_most, ratio_goal
from bench.load.specification import LoadSpecification
from bench.results import Figure
from bench.spread import percentile
from bench.systems.endpoint import JPEG, classify_path
from bench.workspace import BodyKind

PEAK = Figure("overload: peak", "images/s")
GOODPUT = Figure("overload: goodput", "images/s")
RESPONSES = Figure("overload: responses of any status", "requests/s")
SATURATION_P99 = Figure("overload: p99 at saturation", "ms")
ACCEPTED_P99 = Figure("overload: p99 of accepted requests", "ms")
GOALS = [
    ratio_goal(
        "four times overload: p99 of accepted requests, of that at saturation",
        at_most(3),
        ACCEPTED_P99,
        SATURATION_P99,
    ),
    ratio_goal("the same: goodput, of the peak", at_least(0.9), GOODPUT, PEAK),
]
_SATURATED, _FACTOR = 32, 4
_EXPECTED = {200, 429}


def measure(port: int, context: Context) -> None:
    """Measure at saturation, then with an open loop of four times that."""
    workspace, results = context.workspace, context.results
    path, bodies = classify_path(workspace.model), workspace.bodies(BodyKind.JPEG)
    closed = context.load(load := LoadSpecification(port, path, JPEG, bodies, _SATURATED))
    opened = context.load(replace(load, clients=0, rate=_FACTOR * closed.rate))
    results.add(PEAK, closed.rate)
    results.add(GOODPUT, opened.rate)
    results.add(RESPONSES, sum(opened.statuses.values()) / opened.seconds)
    results.add(SATURATION_P99, percentile(closed.milliseconds, 99))
    results.add(ACCEPTED_P99, percentile(opened.milliseconds, 99))
    if others := opened.statuses.keys() - _EXPECTED:
        results.skipped["overload"] = f"also statuses {sorted(others)}"
