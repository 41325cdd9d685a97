"""A user's own images: two models are trained, and the better one on the validation images is exported."""

from pathlib import Path
from typing import Any

import drawn_folders
import lively_weights
import numpy as np
import pytest
import sample_runs
from PIL import Image
from sample_runs import said
from typer.testing import CliRunner

from keraserve_training import cli, profiles
from keraserve_training.errors import OptionError
from keraserve_training.experiments.own_images import EXPORTED, FINE_TUNED, FROZEN, LINEAR, gains
from keraserve_training.learning import fit
from keraserve_training.options import Options
from keraserve_training.records.run_folder import FinishedRun

pytestmark = pytest.mark.usefixtures("tensorflow")
NAME = "own-images"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "Colours 1"
    drawn_folders.draw(folder, train=10, test=4)
    return folder


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, tensorflow: None) -> dict[str, Any]:
    weights = lively_weights.write(tmp_path_factory.mktemp("weights"))
    return {"backbone": "mobilenet", "alpha": 0.25, "image_size": 32, "weights": str(weights)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, folder: Path, given: dict[str, Any]) -> FinishedRun:
    runs = tmp_path_factory.mktemp("runs")
    options = Options(data=str(folder), **given)
    return sample_runs.execute(runs, NAME, seed=1, options=options, given={"images": 24})


def test_the_linear_layer_learns_from_standardised_features(run: FinishedRun) -> None:
    linear = run.networks[LINEAR]
    assert linear["train_images"] + linear["validation_images"] == 24  # of 30, as the run was told
    assert linear["validation_images"] == 5
    assert linear["input"] == [256]
    (phase,) = linear["phases"]
    assert phase["trainable_parameters"] == 256 * 3 + 3
    assert linear["test"]["images"] == run.networks[FINE_TUNED]["test"]["images"] == 12


def test_fine_tuning_begins_with_the_linear_layers_model(run: FinishedRun) -> None:
    whole, tuned = (fit.load(run.folder / name).model for name in (FROZEN, FINE_TUNED))
    (phase,) = run.networks[FINE_TUNED]["phases"]
    assert (phase["optimizer"], phase["learning_rate"]) == ("AdamW", pytest.approx(1e-3))
    moments = [weight for weight in whole.weights if weight.path.endswith(("moving_mean", "moving_variance"))]
    assert phase["trainable_parameters"] == whole.count_params() - sum(int(each.shape[0]) for each in moments)
    after = {weight.path: weight.numpy() for weight in tuned.weights}
    assert len(moments) == 2 * 27  # BatchNormalization learns, too
    assert not any(np.array_equal(weight.numpy(), after[weight.path]) for weight in moments)


def test_the_report_shows_what_decided_before_and_after_fine_tuning(run: FinishedRun) -> None:
    tested = run.networks[FINE_TUNED]["test"]
    assert tested["mistakes"]
    (plot,) = [plot for plot in run.metrics["plots"] if "what-decided" in plot["file"]]
    assert plot["title"] == "fine-tuned: what decided on the most confident mistakes"
    with Image.open(run.folder / plot["file"]) as drawn:
        assert drawn.height > drawn.width * min(len(tested["mistakes"]), 5) / 3  # three tiles in a row


@pytest.mark.parametrize(
    ("linear", "tuned", "better"), [(0.5, 0.6, True), (0.5, 0.5, False), (0.6, 0.5, False)]
)
def test_fine_tuning_has_to_gain(linear: float, tuned: float, better: bool) -> None:
    assert gains({LINEAR: linear, FINE_TUNED: tuned}) is better


def test_the_better_one_on_the_validation_images_is_exported(run: FinishedRun) -> None:
    right = {name: run.networks[name]["validation"]["val_accuracy"] for name in (LINEAR, FINE_TUNED)}
    gained = gains(right)
    digests = {name: fit.load(run.folder / name).result["digest"] for name in (EXPORTED, FROZEN, FINE_TUNED)}
    assert digests[EXPORTED] == digests[FINE_TUNED if gained else FROZEN]
    assert digests[FROZEN] != digests[FINE_TUNED]
    tested = run.networks[FINE_TUNED if gained else LINEAR]["test"]
    assert run.networks[EXPORTED]["test"] == tested
    taken = [run.networks[name]["seconds"] for name in (LINEAR, FINE_TUNED)]
    assert run.metrics["seconds"] == pytest.approx(sum(taken), abs=0.1)
    assert run.networks[EXPORTED]["seconds"] == run.networks[FINE_TUNED if gained else FROZEN]["seconds"]
    assert run.metrics["metrics"]["test_accuracy"] == tested["accuracy"]
    exported = "The fine-tuned network is exported" if gained else "The simpler model, with the linear layer,"
    assert exported in said(run)


def test_images_have_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="name their folder with --data"):
        sample_runs.execute(tmp_path, NAME, seed=1, profile=profiles.FULL)


def test_one_command_from_a_folder_to_a_served_version(
    tmp_path: Path, folder: Path, given: dict[str, Any]
) -> None:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    places = ["--runs", str(tmp_path / "runs"), "--models", str(tmp_path / "models")]
    done = CliRunner().invoke(cli.app, ["own", str(folder), "--profile=sample", *options, *places])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "models/colours-1-sample/1/saved_model.pb").is_file()
    assert (tmp_path / "runs/report.html").is_file()
