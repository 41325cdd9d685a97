"""An image of 224 px as a list of numbers: our `:predict`, compared with the tutorials' route."""

from bench.context import Context
from bench.goal import at_least, ratio_goal
from bench.load.specification import LoadSpecification
from bench.processes import started
from bench.results import Figure
from bench.systems import requests
from bench.systems.compared import TUTORIAL, TUTORIALS
from bench.systems.endpoint import JSON, predict_path
from bench.workspace import BodyKind

OURS = Figure("lists: ours", "images/s")
THEIRS = Figure("lists: the tutorials'", "images/s")
GOALS = [ratio_goal("224x224x3 as JSON: images/s, of the tutorials'", at_least(10), OURS, THEIRS)]
_CLIENTS = 4


def measure(port: int, context: Context) -> None:
    """Measure ours."""
    workspace = context.workspace
    bodies = workspace.bodies(BodyKind.LARGE_INSTANCES)
    load = LoadSpecification(port, predict_path(workspace.model), JSON, bodies, _CLIENTS)
    context.results.add(OURS, context.load(load).rate)


def measure_tutorials(context: Context) -> None:
    """Measure the tutorials'."""
    workspace = context.workspace
    [port] = TUTORIALS.ports()
    with started("lists", TUTORIALS.commands(workspace, [port]), workspace.logs) as running:
        running.wait(lambda: requests.responds(TUTORIAL, port, workspace))
        bodies = workspace.bodies(BodyKind.LARGE_PIXELS)
        load = LoadSpecification(port, TUTORIAL.path, JSON, bodies, _CLIENTS)
        context.results.add(THEIRS, context.load(load).rate)
