"""A picture of 224 px as a list of numbers: our `:predict`, and the tutorials' route."""

from bench import asking
from bench.place import Place
from bench.plan import Plan
from bench.processes import started
from bench.results import Results
from bench.rounds import Timing
from bench.systems import JSON, System

_CLIENTS = 4


def ours(port: int, place: Place, timing: Timing, results: Results) -> None:
    """Measure ours."""
    plan = Plan(port, f"/v1/models/{place.model}:predict", JSON, place.bodies("large"), _CLIENTS)
    found = asking.load(timing.applied(plan))
    results.facts["lists: ours, images/s"].append(len(found.milliseconds) / found.seconds)


def theirs(system: System, place: Place, timing: Timing, results: Results) -> None:
    """Measure the tutorials'."""
    [port], [door] = system.ports(), system.doors
    with started("lists", system.commands(place, [port]), place.logs) as running:
        first = asking.body(place.bodies(door.bodies)[0])
        running.wait(lambda: asking.answers(door, port, first))
        plan = Plan(port, door.path, JSON, place.bodies("large-tutorial"), _CLIENTS)
        found = asking.load(timing.applied(plan))
    results.facts["lists: the tutorials', images/s"].append(len(found.milliseconds) / found.seconds)
