"""A thousand pictures by the client's `classify_many`, and by the load generator, equally many at a time.

As a program: `python -m bench.many URL MODEL FILE…` prints pictures a second.
"""

import itertools
import subprocess
import sys
import time
from pathlib import Path

from bench import asking
from bench.place import ROOT, Place
from bench.plan import Plan
from bench.processes import BenchError
from bench.results import Results
from bench.rounds import Timing
from bench.systems import JPEG, picture_path
from keraserve_client import Client, Prediction

_PICTURES, _TOGETHER = 1000, 32


def measure(port: int, place: Place, timing: Timing, results: Results) -> None:
    """Measure both."""
    command = [sys.executable, "-m", "bench.many", f"http://127.0.0.1:{port}", place.model]
    done = subprocess.run(
        [*command, *place.bodies("jpeg")], cwd=ROOT / "benchmarks", capture_output=True, text=True
    )
    if done.returncode:
        raise BenchError(f"classify_many failed:\n{done.stderr[-2000:]}")
    results.facts["classify_many: images/s"].append(float(done.stdout))
    plan = Plan(port, picture_path(place.model), JPEG, place.bodies("jpeg"), _TOGETHER)
    found = asking.load(timing.applied(plan))
    results.facts["classify_many: the load generator's, images/s"].append(
        len(found.milliseconds) / found.seconds
    )


def main(url: str, model: str, *files: str) -> None:
    """Classify, twice a tenth to warm up."""
    pictures = [Path(file).read_bytes() for file in files]
    with Client(url) as client:
        for count in (_PICTURES // 5, _PICTURES):
            began = time.perf_counter()
            chosen = itertools.islice(itertools.cycle(pictures), count)
            outcomes = list(client.classify_many(model, chosen, concurrency=_TOGETHER))
            spent = time.perf_counter() - began
            assert all(isinstance(one, Prediction) for one in outcomes), outcomes[0]
    print(_PICTURES / spent)


if __name__ == "__main__":
    main(*sys.argv[1:])
