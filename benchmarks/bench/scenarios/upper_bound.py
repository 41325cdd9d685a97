"""The upper bound: the signature in a process of its own, one caller for each core, and nothing else."""

import json
import subprocess
import sys

from bench.context import Context
from bench.processes import BenchError
from bench.systems.endpoint import Best
from bench.workspace import ROOT, BodyKind

BATCHES = (8, 32)
LARGEST_BATCH = BATCHES[-1]
"""What is compared with the upper bound is compared with batches of this size."""


def measure(context: Context) -> list[Best]:
    """Measure the model alone; gives what it says of each image."""
    workspace = context.workspace
    batches = ",".join(str(batch) for batch in BATCHES)
    command = [sys.executable, "-m", "bench.systems.bare_signature", str(workspace.saved_model.resolve())]
    done = subprocess.run(
        [*command, str(context.timing.seconds), batches, *workspace.bodies(BodyKind.JPEG)],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BenchError(f"the model can't be run:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    for batch, rate in found["rates"]:
        context.results.add_upper_bound(batch, rate)
    return [(label, probability) for label, probability in found["best"]]
