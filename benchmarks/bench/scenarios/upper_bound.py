"""The upper bound: images a second of the signature without a server, one caller for each core."""

import json

from bench.context import Context
from bench.processes import run_module
from bench.systems.endpoint import Best
from bench.workspace import BodyKind

BATCHES = (8, 32)
LARGEST_BATCH = BATCHES[-1]
"""The batch size of the upper bound that systems are compared with."""


def measure(context: Context) -> list[Best]:
    """Measure the model alone; returns its best class for each image."""
    workspace = context.workspace
    folder, seconds = str(workspace.saved_model.resolve()), str(context.timing.seconds)
    batches, files = ",".join(map(str, BATCHES)), workspace.bodies(BodyKind.JPEG)
    found = json.loads(run_module("bench.systems.bare_signature", folder, seconds, batches, *files))
    for batch, rate in found["rates"]:
        context.results.add_upper_bound(batch, rate)
    return [(label, probability) for label, probability in found["best"]]
