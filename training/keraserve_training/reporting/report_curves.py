"""The plot that shows the curves of all networks of a source document."""

from collections.abc import Sequence
from pathlib import Path

from keraserve_training.drawing import curves
from keraserve_training.drawing import page as drawing
from keraserve_training.experiment import Experiment
from keraserve_training.profiles import PROFILES
from keraserve_training.records import caveats, history, run_folder
from keraserve_training.records.run_folder import FinishedRun

_IMAGES = {
    (False,): "the images set aside for validation",
    (True,): "the test images: none are set aside, and nothing is chosen by them",
    (False, True): "the images set aside for validation, or the test images where none are",
}


def all_curves(file: Path, source: str, shown: Sequence[tuple[Experiment, FinishedRun | None]]) -> str:
    """Draw every network of the shown runs that are of the largest profile among them.

    Args:
        file: the plot; not written if there is nothing to draw.
        source: the name of the source document.
        shown: its experiments with the runs that represent them.

    Returns:
        A caption that names the experiments that are left out; empty if there is nothing to draw.
    """
    finished = [(experiment, run) for experiment, run in shown if run]
    profile = next((name for name in PROFILES if any(run.profile == name for _, run in finished)), "")
    drawn = [(experiment, run) for experiment, run in finished if run.profile == profile]
    common = [each for each in caveats.ALL if all(each in caveats.of(run.config) for _, run in drawn)]
    histories = {
        title: rows
        for experiment, run in drawn
        for name, title in _titles(experiment, run, common).items()
        if (rows := history.read(run.folder / name / run_folder.HISTORY))
    }
    if not histories:
        return ""
    on = sorted(
        {network.get("validated_on_test", False) for _, run in drawn for network in run.trained.values()}
    )
    with drawing.with_caveat(caveats.line(common)):
        title = f"{source}: all networks"
        title += "" if profile == "full" else f", profile {profile}"
        curves.all_curves(file, title, histories, on="test" if on == [True] else "validation")
    left_out = [experiment.name for experiment, run in finished if run.profile != profile]
    return f"{source}, every network, on {_IMAGES[tuple(on)]}." + (
        f" Left out, because they were run in a smaller profile: {', '.join(left_out)}." if left_out else ""
    )


def _titles(experiment: Experiment, run: FinishedRun, common: Sequence[str]) -> dict[str, str]:
    """A title for each network among those of other experiments, with the caveats that not all have."""
    learnt = list(run.trained)
    own = [each for each in caveats.of(run.config) if each not in common]
    note = f" [{', '.join(own)}]" if own else ""
    if len(learnt) == 1:
        return {learnt[0]: f"{experiment.name}{note}"}
    return {name: f"{experiment.name}: {name}{note}" for name in learnt}
