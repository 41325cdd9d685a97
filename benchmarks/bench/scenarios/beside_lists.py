"""What other requests to a gateway notice while images come in as lists of numbers."""

from concurrent.futures import ThreadPoolExecutor

from bench.context import Context
from bench.goal import at_most, ratio_goal
from bench.load.specification import LoadSpecification
from bench.results import Figure
from bench.spread import percentile
from bench.systems.endpoint import JSON, predict_path
from bench.workspace import BodyKind

WITHOUT = Figure("lists: p99 of others without", "ms")
MEANWHILE = Figure("lists: p99 of others meanwhile", "ms")
GOALS = [ratio_goal("other requests meanwhile: p99, of that without", at_most(2), MEANWHILE, WITHOUT)]


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
    context.results.add(MEANWHILE, percentile(found.milliseconds, 99))
