"""The embedded server's first right answer, against importing TensorFlow and loading the same model."""

import subprocess
import sys
import time
from pathlib import Path

from bench import asking
from bench.commands import WITHOUT_GPU
from bench.place import Place
from bench.processes import Command, free_port, started
from bench.results import Results
from bench.systems import Door

_BARE = "import sys, tensorflow as tf; tf.saved_model.load(sys.argv[1]); print('loaded', flush=True)"


def measure(place: Place, door: Door, results: Results) -> None:
    """Measure both, once."""
    began = time.monotonic()
    command = Command([sys.executable, "-c", _BARE, place.saved_model.resolve()], WITHOUT_GPU)
    with subprocess.Popen(
        [str(part) for part in command.arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as bare:
        assert bare.stdout
        bare.stdout.readline()
        results.facts["cold start: import and load, s"].append(time.monotonic() - began)
        bare.kill()
    port = free_port()
    flags = [f"--port={port}", f"--model_name={place.model}", "--enable_batching"]
    flags.append(f"--model_base_path={(place.models / place.model).resolve()}")
    program = Path(sys.executable).with_name("keraserve-embedded")
    first = asking.body(place.bodies(door.bodies)[0])
    with started("cold", [Command([program, *flags], WITHOUT_GPU)], place.logs) as running:
        seconds = running.wait(lambda: asking.answers(door, port, first))
    results.facts["cold start: first answer, s"].append(seconds)
