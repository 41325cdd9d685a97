"""The time of other requests to a gateway that also gets images as lists of numbers."""

from concurrent.futures import ThreadPoolExecutor

from bench.context import Context
from bench.goal import at_most, ratio_goal
from bench.load.specification import LoadSpecification
from bench.results import Figure
from bench.spread import percentile
from bench.systems.endpoint import JSON, predict_path
from bench.workspace import BodyKind

WITHOUT = Figure("lists: p99 of other requests without lists", "ms")
BESIDE = Figure("lists: p99 of other requests beside lists", "ms")
GOALS = [ratio_goal("other requests beside lists: p99, of that without lists", at_most(2), BESIDE, WITHOUT)]


def measure(port: int, context: Context) -> None:
    """Measure `/livez` of a gateway without and beside one client that sends lists."""
    workspace = context.workspace
    bodies = workspace.bodies(BodyKind.LARGE_INSTANCES)
    lists = LoadSpecification(port, predict_path(workspace.model), JSON, bodies, 1)
    others = LoadSpecification(port, "/livez", "", [], 1)
    context.results.add(WITHOUT, percentile(context.load(others).milliseconds, 99))
    with ThreadPoolExecutor(2) as both:
        busy = both.submit(context.load, lists)
        found = both.submit(context.load, others).result()
        busy.result()
    context.results.add(BESIDE, percentile(found.milliseconds, 99))
