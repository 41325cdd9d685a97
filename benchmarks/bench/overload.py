"""Four times as many requests as can be served: what becomes of those that are let in, and how many are."""

from bench import asking
from bench.figures import percentile
from bench.place import Place
from bench.plan import Plan
from bench.results import Results
from bench.rounds import Timing
from bench.systems import JPEG, picture_path

_SATURATED = 32


def measure(port: int, place: Place, timing: Timing, results: Results) -> None:
    """Measure at saturation, then with an open loop of four times that."""
    path, bodies = picture_path(place.model), place.bodies("jpeg")
    closed = asking.load(timing.applied(Plan(port, path, JPEG, bodies, _SATURATED)))
    peak = len(closed.milliseconds) / closed.seconds
    opened = asking.load(timing.applied(Plan(port, path, JPEG, bodies, 0, 4 * peak)))
    good = len(opened.milliseconds) / opened.seconds
    facts = results.facts
    facts["overload: peak, images/s"].append(peak)
    facts["overload: goodput, images/s"].append(good)
    facts["overload: answered in any way, requests/s"].append(sum(opened.statuses.values()) / opened.seconds)
    facts["overload: p99 at saturation, ms"].append(percentile(closed.milliseconds, 99))
    facts["overload: p99 of what is accepted, ms"].append(percentile(opened.milliseconds, 99))
    other = {status for status in opened.statuses if status not in (200, 429)}
    if other:
        results.skipped["overload"] = f"statuses {sorted(other)} came too"
