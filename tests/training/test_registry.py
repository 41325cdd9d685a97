"""Every experiment is found, complete, and described; listing them needs no TensorFlow."""

import inspect
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from keraserve_training import experiments
from keraserve_training.errors import TrainingError, UnknownExperimentError, UnknownVariantError
from keraserve_training.experiment import Experiment
from keraserve_training.experiments import find, matching, registry
from keraserve_training.options import Options

FOLDER = Path(experiments.__file__).parent


def test_every_file_of_experiments_is_in_the_registry() -> None:
    files = {file.stem for file in FOLDER.glob("[!_]*.py")}  # what several share begins with an underscore
    assert files == {name.replace("-", "_") for name in registry()}


@pytest.mark.parametrize("experiment", registry().values(), ids=lambda each: each.name)
def test_an_experiment_is_complete(experiment: Experiment) -> None:
    module = sys.modules[f"{experiments.__name__}.{experiment.name.replace('-', '_')}"]
    describe = getattr(module, experiment.name.replace("-", "_"))
    text = inspect.getdoc(describe) or ""
    assert all(word in text for word in ("Task:", "Command:", "Expected", "Hardware:")), text
    assert f"keraserve-train run {experiment.name}" in text
    assert experiment.servables
    assert experiment.figures
    assert set(experiment.takes) <= {field.name for field in fields(Options)}
    assert experiment.parameters > 0


def test_servables_have_names_of_their_own() -> None:
    names = [servable.name for experiment in registry().values() for servable in experiment.servables]
    assert len(names) == len(set(names))


def test_an_error_about_an_unknown_name_says_the_nearest_ones() -> None:
    with pytest.raises(UnknownExperimentError, match=r"'fashion-reuse'.*fashion-mnist-reuse"):
        find("fashion-reuse")


def test_patterns_choose_experiments() -> None:
    chosen = [experiment.name for experiment in matching(["fashion-*", "fashion-mnist-reuse"])]
    assert chosen == ["fashion-mnist-reuse", "fashion-mnist-optimizers"]
    assert len(matching(["*"])) == len(registry())
    with pytest.raises(UnknownExperimentError):
        matching(["fashion-*", "nothing-*"])


@pytest.mark.parametrize("variant", ["5", "5-5", "5-10", "a-b", "", "-1-2"])
def test_a_study_rejects_what_is_no_pair(variant: str) -> None:
    study = find("fashion-mnist-reuse").study
    assert study
    with pytest.raises(UnknownVariantError, match="not a pair"):
        study.settings(variant)


def test_listing_needs_no_tensorflow() -> None:
    program = (
        "import sys; from keraserve_training import cli, commands, listing, open_run, run;"
        "from keraserve_training.records import run_folder;"
        "from keraserve_training.experiments import registry; registry();"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_tree_of_errors_is_drawn_whole() -> None:
    def walk(kind: type[BaseException]) -> set[str]:
        return {kind.__name__}.union(*(walk(child) for child in kind.__subclasses__()))

    drawn = sys.modules[TrainingError.__module__].__doc__ or ""
    assert all(name in drawn for name in walk(TrainingError))
