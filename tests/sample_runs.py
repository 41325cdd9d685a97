"""A whole run of an experiment in seconds, with the sample profile or less of it, and what it says."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from keraserve_training import experiments, open_run, profiles
from keraserve_training.options import NONE, Options
from keraserve_training.records import run_folder
from keraserve_training.records.findings import Findings
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.run import RunSpec


def execute(
    runs: Path,
    name: str,
    *,
    seed: int,
    options: Options = NONE,
    profile: profiles.Profile = profiles.SAMPLE,
    given: Mapping[str, Any] = MappingProxyType({}),
) -> FinishedRun:
    """Do the experiment `name` below `runs`, where it has not been done yet."""
    spec = RunSpec(profile, seed, options, given)
    folder = spec.folder(runs, name)
    assert open_run.execute(experiments.find(name), folder, spec)
    return run_folder.finished_in(folder)


def said(run: FinishedRun, **metrics: float) -> str:
    """The sentences of a run, one a line, about its figures, or about others put in their place."""
    changed = replace(run, metrics=run.metrics | {"metrics": run.metrics["metrics"] | metrics})
    findings = Findings(changed, run.folder.parent.parent)
    return "\n".join(experiments.find(run.config["experiment"]).learnt(findings))


def killed_at(line: str, runs: Path, *arguments: str) -> str:
    """Start `keraserve-train run` and kill it with SIGKILL when it prints `line`; returns its output."""
    command = [sys.executable, "-m", "keraserve_training.cli", "run", *arguments]
    command += ["--profile", "sample", "--runs", str(runs)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    seen = ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout
        for printed in process.stdout:
            seen += printed
            if line in printed:
                process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, seen
    return seen
