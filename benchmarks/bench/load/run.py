"""Running the load generator in a process of its own."""

import json
import subprocess
import sys
from dataclasses import asdict

from bench.load.specification import LoadResult, LoadSpecification
from bench.processes import BenchError
from bench.workspace import ROOT


def run(load: LoadSpecification) -> LoadResult:
    """Send this load.

    Raises:
        BenchError: the load generator failed, or no request succeeded.
    """
    command = [sys.executable, "-m", "bench.load.generator"]
    done = subprocess.run(
        command,
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        cwd=ROOT / "benchmarks",
        timeout=load.warm_up + load.seconds + 120,
    )
    if done.returncode:
        raise BenchError(f"the load generator failed:\n{done.stderr[-2000:]}")
    found = LoadResult(**json.loads(done.stdout))
    found.statuses = {int(status): count for status, count in found.statuses.items()}  # JSON's keys are text
    if not found.milliseconds:
        where = f"port {load.port}{load.path}"
        raise BenchError(f"{where}: no request succeeded, only {found.statuses}")
    return found
