"""The gateway before a model server that costs nothing: memory, start, and processor time of a picture.

And what other requests notice while pictures come in as lists of numbers.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench import asking
from bench.commands import gateway
from bench.figures import percentile
from bench.place import ROOT, Place
from bench.plan import Plan
from bench.processes import Command, free_port, started
from bench.results import Results
from bench.rounds import Timing, watched
from bench.systems import JPEG, JSON, picture_path

_CLIENTS, _IDLE_SECONDS = 32, 1.0


def measure(place: Place, timing: Timing, results: Results) -> None:
    """Measure all of it."""
    port, behind = free_port(), free_port()
    null = Command([sys.executable, "-m", "bench.null_server", str(behind)], {}, ROOT / "benchmarks")
    with (
        started("null-server", [null], place.logs),
        started("gateway-alone", [gateway(place, port, behind)], place.logs) as running,
    ):
        results.facts["gateway alone: start to ready, s"].append(running.wait(lambda: asking.is_ready(port)))
        time.sleep(_IDLE_SECONDS)
        results.facts["gateway alone: idle, MB"].append(running.pss() / 1e6)
        plan = Plan(port, picture_path(place.model), JPEG, place.bodies("jpeg"), _CLIENTS)
        found, spent = watched(running, timing.applied(plan))
        results.facts["gateway alone: processor time of a picture, ms"].append(
            spent * 1000 / len(found.milliseconds)
        )
        results.facts["gateway alone: under load, MB"].append(running.pss() / 1e6)
        _beside_lists(port, place, timing, results)


def _beside_lists(port: int, place: Place, timing: Timing, results: Results) -> None:
    lists = timing.applied(Plan(port, f"/v1/models/{place.model}:predict", JSON, place.bodies("large"), 1))
    others = timing.applied(Plan(port, "/livez", "", [], 1))
    results.facts["lists: p99 of others without, ms"].append(percentile(asking.load(others).milliseconds, 99))
    with ThreadPoolExecutor(2) as both:
        busy = both.submit(asking.load, lists)
        found = both.submit(asking.load, others).result()
        busy.result()
    results.facts["lists: p99 of others meanwhile, ms"].append(percentile(found.milliseconds, 99))
