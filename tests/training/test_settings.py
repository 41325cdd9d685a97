"""The settings that a user may change of an experiment, and where a run says that they were changed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import invented_runs
import pytest
import sample_runs

from keraserve_training import profiles
from keraserve_training.errors import OptionError
from keraserve_training.experiment import Experiment
from keraserve_training.experiments import find, registry
from keraserve_training.exporting import export, model_card
from keraserve_training.options import NONE
from keraserve_training.records import description
from keraserve_training.reporting import gathering
from keraserve_training.settings import written

SMALL = replace(profiles.SAMPLE, small=profiles.Share(0.002, 100), max_epochs=1)


@pytest.mark.parametrize("experiment", registry().values(), ids=lambda each: each.name)
def test_every_default_is_a_value_that_may_be_given(experiment: Experiment) -> None:
    for name, each in experiment.settings.declared().items():
        assert each.of_study or each.read(written(each.default)) == each.default
        assert each.about.endswith(".")
        assert not each.below or each.below in experiment.settings.declared()
        word = f"{name}={written(each.default)}"
        assert each.of_study or experiment.settings.read("", [word]) == {}
        # Epochs that are given are done, also where the profile allows fewer of those that are not.
        limited = each.epochs and each.default > 1
        assert each.of_study or list(experiment.settings.read("", [word], SMALL.epochs)) == [name] * limited


@pytest.mark.parametrize(
    ("name", "words", "sentence"),
    [
        ("cats-dogs-xception", ["learning_rat=1"], "no setting 'learning_rat'. Did you mean learning_rate"),
        ("cats-dogs-xception", ["learning_rate=fast"], "learning_rate can't be 'fast': it takes 1e-08 to 10"),
        ("cats-dogs-xception", ["epochs=0"], "epochs can't be '0': it takes whole, 1 to 10000"),
        ("cats-dogs-xception", ["epochs=2.5"], "epochs can't be '2.5'"),
        ("cats-dogs-xception", ["dropout=nan"], "dropout can't be 'nan'"),
        ("cats-dogs-xception", ["optimizer=adm"], "Did you mean adam"),
        ("cats-dogs-xception", ["thaw="], "thaw can't be ''"),
        ("cats-dogs-xception", ["epochs"], "'epochs' is no setting: write NAME=VALUE, like epochs=20"),
        (
            "cats-dogs-xception",
            ["tuning_rate=0.001"],
            "tuning_rate (0.001) has to be lower than learn",
        ),
        ("fashion-mnist-optimizers", ["hidden=300-"], "hidden can't be '300-'"),
        ("fashion-mnist-reuse", ["pair=1-2"], "no setting 'pair'"),
    ],
)
def test_what_is_no_setting_is_rejected(name: str, words: Sequence[str], sentence: str) -> None:
    with pytest.raises(OptionError) as error:
        find(name).settings.read(name, words)
    assert sentence in str(error.value)


def test_a_setting_without_effect_is_rejected() -> None:
    with pytest.raises(OptionError, match="thaw has no effect without --fine-tune"):
        find("cifar10-inceptionv3").check(NONE, {"thaw": "mixed10"})


@pytest.mark.usefixtures("tensorflow")
def test_a_run_with_other_settings_learns_by_them_and_says_so(tmp_path: Path) -> None:
    cnn = find("cifar100-cnn")
    given = cnn.settings.read(cnn.name, ["units=8", "optimizer=adam", "learning_rate=1e-3", "epochs=2"])
    run = sample_runs.execute(tmp_path, cnn.name, seed=1, profile=SMALL, given=given)
    (phase,) = run.networks["cnn"]["phases"]
    assert (phase["optimizer"], phase["epochs"]) == ("Adam", 2)  # more than the profile has by itself
    assert phase["learning_rate"] == pytest.approx(1e-3)
    changed = "epochs-2-learning-rate-0-001-optimizer-adam-units-8"
    assert run.folder.name == f"sample-seed1+{changed}"
    assert run.config["settings"] == given
    words = "--set epochs=2 --set learning_rate=0.001 --set optimizer=adam --set units=8"
    assert words in description.command(cnn.name, run)
    servable = export.named(cnn.servables[0], cnn, run)
    assert servable.name.startswith("cifar100-cnn-epochs-2-learning-rate-0-001")
    card = model_card.card(cnn, servable, run)
    assert card["settings"] == given
    assert "Changed here: epochs is 2 (15 if not changed), learning_rate is 0.001 (" in card["task"]


def test_a_report_shows_the_experiments_own_settings_first(tmp_path: Path) -> None:
    of = invented_runs.experiment("invented")
    changes = ({}, {"epochs": 3})
    for day, changed in enumerate(changes, 1):
        metrics = {"test_accuracy": 0.5}
        when = f"2026-01-0{day}T00:00:00+00:00"
        invented_runs.write(tmp_path, of, {}, metrics, changed=changed, finished=when)
    groups = gathering.gather(tmp_path, of.name).groups
    assert [group.latest.config["settings"] for group in groups] == list(changes)
