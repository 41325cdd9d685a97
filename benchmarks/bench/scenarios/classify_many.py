"""A thousand images classified by the client's `classify_many`, compared with the load generator.

As a program: `python -m bench.scenarios.classify_many URL MODEL FILE…` prints images a second.
"""

import itertools
import sys
import time
from pathlib import Path

from bench.context import Context
from bench.goal import at_least, ratio_goal
from bench.load.specification import LoadSpecification
from bench.processes import run_module
from bench.results import Figure
from bench.systems.endpoint import JPEG, classify_path
from bench.workspace import BodyKind
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
    url = f"http://127.0.0.1:{port}"
    printed = run_module("bench.scenarios.classify_many", url, workspace.model, *files)
    context.results.add(CLIENT, float(printed))
    load = LoadSpecification(port, classify_path(workspace.model), JPEG, files, _CONCURRENCY)
    context.results.add(GENERATOR, context.load(load).rate)


def main(url: str, model: str, *files: str) -> None:
    """Classify, after a fifth as many to warm up, and print images a second."""
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
