"""The rows beside the table: one round of each."""

from collections.abc import Callable

from bench import asking, clothes, cold_start, gateway_alone, lists, many, overload
from bench.place import Place
from bench.processes import started
from bench.results import Results
from bench.rounds import Tell, Timing
from bench.systems import System

NAMES = ("gateway", "cold", "lists", "overload", "clothes", "many")


def measure(
    systems: list[System], place: Place, timing: Timing, results: Results, wanted: set[str], tell: Tell
) -> None:
    """Measure what is wanted."""
    by_name = {system.name: system for system in systems}
    if "gateway" in wanted:
        tell("the gateway alone")
        gateway_alone.measure(place, timing, results)
    if "cold" in wanted:
        tell("cold start")
        cold_start.measure(place, by_name["two-processes"].doors[1], results)
    in_one: dict[str, Callable[[int, Place, Timing, Results], None]] = {
        "lists": lists.ours,
        "overload": overload.measure,
        "clothes": clothes.measure,
        "many": many.measure,
    }
    if wanted & in_one.keys():
        system = by_name["in-process"]
        [port] = system.ports()
        with started("rows", system.commands(place, [port]), place.logs) as running:
            running.wait(lambda: asking.is_ready(port))
            for name, row in in_one.items():
                if name in wanted and (place.own or name != "clothes"):
                    tell(f"one process: {name}")
                    row(port, place, timing, results)
    if "lists" in wanted and "tutorial" in by_name:
        tell("lists, the tutorials' way")
        lists.theirs(by_name["tutorial"], place, timing, results)
