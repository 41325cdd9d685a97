"""A whole run of an experiment in seconds: the sample profile, or less of it."""

from pathlib import Path

from keraserve_training import experiments, open_run, profiles, progress
from keraserve_training.options import NONE, Options
from keraserve_training.records import run_folder
from keraserve_training.records.run_folder import FinishedRun


def execute(
    runs: Path,
    name: str,
    *,
    seed: int,
    options: Options = NONE,
    profile: profiles.Profile = profiles.SAMPLE,
) -> FinishedRun:
    """Do the experiment `name` below `runs`, where it has not been done yet."""
    folder = run_folder.path(runs, name, "sample", seed, options.slug())
    silent = progress.Silent()
    assert open_run.execute(
        experiments.find(name), folder, profile=profile, seed=seed, show=silent, options=options
    )
    return run_folder.finished_in(folder)
