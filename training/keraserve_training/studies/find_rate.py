"""Find a learning rate for a phase of an experiment, by a range test in a folder that is removed after it."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keraserve_training import open_run, runtime
from keraserve_training.errors import OptionError
from keraserve_training.experiment import Experiment
from keraserve_training.learning import borrowing
from keraserve_training.progress import Show
from keraserve_training.records import description
from keraserve_training.run import Run, RunSpec

if TYPE_CHECKING:
    from keraserve_training.learning.range_test import RangeTest


@dataclass(frozen=True)
class Found:
    """The outcome.

    Attributes:
        network: which one was trained.
        phase: the name of its phase.
        setting: of the experiment, that is the phase's learning rate.
        rate: that phase's own one.
        optimizer: of the phase.
        test: what was measured.
    """

    network: str
    phase: str
    setting: str
    rate: float
    optimizer: str
    test: "RangeTest"


class _FoundError(Exception):
    """Ends the run: the phase was tested."""

    def __init__(self, found: Found) -> None:
        super().__init__()
        self.found = found


def find(experiment: Experiment, runs: Path, spec: RunSpec, rate: str | None, show: Show) -> Found:
    """Do an experiment up to a phase, and test rates there. Nothing of it stays but stored features.

    Networks that the phase needs are taken from the run with the same settings, where that has them.

    Args:
        experiment: whose phase.
        runs: folder of all runs.
        spec: as for a run.
        rate: the setting that is the learning rate of the phase; None: the first phase.
        show: displays the progress.

    Raises:
        OptionError: there is no such setting, or no phase has it.
    """
    known = [name for name, each in experiment.settings.declared().items() if each.rate]
    if rate and rate not in known:
        raise OptionError(
            f"{experiment.name} has no learning rate {rate!r}: it has {', '.join(known) or 'none'}."
        )
    experiment.check(spec.options, {**spec.settings, **({rate: None} if rate else {})})
    runtime.prepare()
    (runs / experiment.name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".find-rate-", dir=runs / experiment.name) as scratch:
        folder = Path(scratch) / "run"
        with open_run.opened(experiment, folder, spec), runtime.scope(spec.options.strategy):
            run = _Testing(folder, spec, show, spec.folder(runs, experiment.name), rate)
            try:
                experiment.do(run, spec.settings)
            except _FoundError as found:
                return found.found
        raise OptionError(f"No network of {experiment.name} learns at {rate} with these options.")


class _Testing(Run):
    """A run that trains what comes before a phase, and tests rates there."""

    def __init__(self, folder: Path, spec: RunSpec, show: Show, own: Path, rate: str | None) -> None:
        super().__init__(folder, spec, show)
        self._own, self._rate = own, rate

    def fit(self, name: str, **given: Any) -> Any:
        """Test the phase if it is one of this network's; else train the network."""
        for number, phase in enumerate(given["phases"]):
            if self._rate in (None, phase.rate):
                raise _FoundError(self._test(name, number, given))
        borrowing.borrow(self.folder, self._own, name)
        return super().fit(name, **given)

    def _test(self, name: str, number: int, given: dict[str, Any]) -> Found:
        from keraserve_training.learning import fit, range_test

        given = {key: value for key, value in given.items() if key != "also_in"}
        plan = fit.Plan(name, **given)
        phase = plan.phases[number]
        how = {"seed": self.seed, "profile": self.profile, "show": self._show}
        if number:
            before = fit.fit(self.folder / name, replace(plan, phases=plan.phases[:number]), **how)
            plan = replace(plan, build=lambda: before.model)
        model, batches = fit.compiled(self.folder / name, plan, number, **how)
        optimizer: Any = model.optimizer
        rate = phase.highest_rate or optimizer.learning_rate.numpy().item()
        self._show.start(f"{name}, {phase.name}: rates", 1, 0)
        test = range_test.measure(model, batches, lambda done: self._show.batch(done / range_test.STEPS))
        self._show.stop()
        return Found(name, phase.name, phase.rate, rate, type(optimizer).__name__, test)


def words(experiment: Experiment, spec: RunSpec, found: Found) -> list[str]:
    """The advice, the rule that it follows, and the command that uses it."""
    test, where = found.test, f"{found.network}, {found.phase}, {found.optimizer}"
    if test.advice is None:
        return [
            f"{where}: the loss hardly falls at any rate, so the test gives no advice here: `study --vary`"
            " compares rates."
        ]
    advice = float(f"{test.advice:.2g}")
    sentences = [
        f"{where}: the smoothed loss falls fastest at {test.steepest:.1e}, and is lowest at"
        f" {test.lowest:.1e}.",
        f"Advice: {advice:g}, in place of {found.rate:g}: a tenth of the rate of the lowest loss, or that of"
        " the steepest descent if it is lower (the rules of fastai's lr_find; the test is Smith's, 2017). It"
        " is a place to begin: `study --vary` compares rates.",
    ]
    known = experiment.settings.declared().get(found.setting)
    if known is None:
        return sentences
    given = {**spec.settings, found.setting: advice}
    try:
        experiment.settings.of(given)
    except OptionError as error:
        return [*sentences, f"It can't be set as it is: {error}"]
    config = {"profile": spec.profile.name, "seed": spec.seed, "options": spec.options.given()}
    command = description.command_of(experiment.name, {**config, "settings": given})
    return [*sentences, f"To use it: {command}"]
