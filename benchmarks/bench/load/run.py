"""Run the load generator in a process of its own."""

import json
from dataclasses import asdict

from bench.load.specification import LoadResult, LoadSpecification
from bench.processes import BenchError, run_module


def run(load: LoadSpecification) -> LoadResult:
    """Send this load.

    Raises:
        BenchError: the load generator failed, or no request succeeded.
    """
    limit = load.warm_up + load.seconds + 120
    printed = run_module("bench.load.generator", text=json.dumps(asdict(load)), timeout=limit)
    found = LoadResult(**json.loads(printed))
    found.statuses = {int(status): count for status, count in found.statuses.items()}  # JSON's keys are text
    if not found.milliseconds:
        where = f"port {load.port}{load.path}"
        raise BenchError(f"{where}: no request succeeded, only {found.statuses}")
    return found
