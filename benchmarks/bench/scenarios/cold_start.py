"""The embedded server's time to its first response, compared with importing TensorFlow and loading."""

import subprocess
import sys
import time

from bench.context import Context
from bench.goal import at_most, ratio_goal
from bench.processes import Command, free_port, started
from bench.results import Figure
from bench.systems import requests
from bench.systems.commands import WITHOUT_GPU, program
from bench.systems.compared import EMBEDDED_GRPC

IMPORT_AND_LOAD = Figure("cold start: import and load", "s")
FIRST_RESPONSE = Figure("cold start: first response", "s")
GOALS = [
    ratio_goal(
        "embedded, cold start to first response, of import and load",
        at_most(1.2),
        FIRST_RESPONSE,
        IMPORT_AND_LOAD,
    )
]
_BARE = "import sys, tensorflow as tf; tf.saved_model.load(sys.argv[1]); print('loaded', flush=True)"


def measure(context: Context) -> None:
    """Measure both, once."""
    workspace, results = context.workspace, context.results
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", _BARE, str(workspace.saved_model.resolve())],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as bare:
        assert bare.stdout
        bare.stdout.readline()
        results.add(IMPORT_AND_LOAD, time.monotonic() - began)
        bare.kill()
    port = free_port()
    flags = [f"--port={port}", f"--model_name={workspace.model}", "--enable_batching"]
    flags.append(f"--model_base_path={(workspace.models / workspace.model).resolve()}")
    command = Command([program("keraserve-embedded"), *flags], WITHOUT_GPU)
    with started("cold", [command], workspace.logs) as running:
        seconds = running.wait(lambda: requests.responds(EMBEDDED_GRPC, port, workspace))
    results.add(FIRST_RESPONSE, seconds)
