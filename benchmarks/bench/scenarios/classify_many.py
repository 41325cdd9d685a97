"""A thousand images by the client's `classify_many`, and by the load generator, equally many at a time.

As a program: `python -m bench.scenarios.classify_many URL MODEL FILE…` prints images a second.
"""

import itertools
import subprocess
import sys
import time
from pathlib import Path

from bench.context import Context
from bench.goal import at_least, ratio_goal
from bench.load.specification import LoadSpecification
from bench.processes import BenchError
from bench.results import Figure
from bench.systems.endpoint import JPEG, classify_path
from bench.workspace import ROOT, BodyKind
from keraserve_client import Client, Prediction

CLIENT = Figure("classify_many: the client's", "images/s")
GENERATOR = Figure("classify_many: the load generator's", "images/s")
GOALS = [
    ratio_goal(
        "client, 1,000 images by `classify_many`: images/s, of the load generator's",
        at_least(0.9),
        CLIENT,
        GENERATOR,
    )
]
_IMAGES, _CONCURRENCY = 1000, 32


def measure(port: int, context: Context) -> None:
    """Measure both."""
    workspace = context.workspace
    files = workspace.bodies(BodyKind.JPEG)
    command = [sys.executable, "-m", "bench.scenarios.classify_many", f"http://127.0.0.1:{port}"]
    done = subprocess.run(
        [*command, workspace.model, *files], cwd=ROOT / "benchmarks", capture_output=True, text=True
    )
    if done.returncode:
        raise BenchError(f"classify_many failed:\n{done.stderr[-2000:]}")
    context.results.add(CLIENT, float(done.stdout))
    load = LoadSpecification(port, classify_path(workspace.model), JPEG, files, _CONCURRENCY)
    context.results.add(GENERATOR, context.load(load).rate)


def main(url: str, model: str, *files: str) -> None:
    """Classify, a fifth as many before to warm up."""
    images = [Path(file).read_bytes() for file in files]
    with Client(url) as client:
        for count in (_IMAGES // 5, _IMAGES):
            began = time.perf_counter()
            chosen = itertools.islice(itertools.cycle(images), count)
            outcomes = list(client.classify_many(model, chosen, concurrency=_CONCURRENCY))
            spent = time.perf_counter() - began
            assert all(isinstance(one, Prediction) for one in outcomes), outcomes[0]
    print(_IMAGES / spent)


if __name__ == "__main__":
    main(*sys.argv[1:])
