"""Pictures of 28 px: as JSON rows to `:predict`, and as PNG to the picture route."""

from bench import asking
from bench.place import CLOTHES, Place
from bench.plan import Plan
from bench.results import Results
from bench.rounds import Timing
from bench.systems import JSON, picture_path

_CLIENTS = 8


def measure(port: int, place: Place, timing: Timing, results: Results) -> None:
    """Measure both."""
    ways = {
        "PNG": Plan(port, picture_path(CLOTHES), "image/png", place.bodies("clothes"), _CLIENTS),
        "JSON rows": Plan(port, f"/v1/models/{CLOTHES}:predict", JSON, place.bodies("clothes-row"), _CLIENTS),
    }
    for name, plan in ways.items():
        found = asking.load(timing.applied(plan))
        results.facts[f"28 px: {name}, images/s"].append(len(found.milliseconds) / found.seconds)
