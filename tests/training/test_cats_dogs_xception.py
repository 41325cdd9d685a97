"""Source document 004: what is frozen stays, what is fine-tuned learns, augmentation only in training."""

from pathlib import Path
from typing import Any

import drawn_folders
import lively_weights
import numpy as np
import pytest
import sample_runs
from PIL import Image
from sample_runs import said

from keraserve_training import experiments, profiles, progress
from keraserve_training.data import datasets
from keraserve_training.errors import UnknownVariantError
from keraserve_training.experiments._cats_dogs import parts
from keraserve_training.learning import fit, rules
from keraserve_training.options import Options
from keraserve_training.pretrained import backbones
from keraserve_training.records import history, run_folder
from keraserve_training.records.run_folder import FinishedRun
from keraserve_training.studies import study

pytestmark = pytest.mark.usefixtures("tensorflow")
NAME, SEED = "cats-dogs-xception", 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tensorflow: None) -> FinishedRun:
    """As it is: Xception, two classes."""
    return sample_runs.execute(tmp_path_factory.mktemp("whole"), NAME, seed=SEED)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, tensorflow: None) -> Path:
    return lively_weights.write(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> FinishedRun:
    """With a user's images of three classes, and MobileNet."""
    folder = tmp_path_factory.mktemp("own")
    drawn_folders.draw(folder / "colours", train=10, test=4)
    options = Options(
        data=str(folder / "colours"), backbone="mobilenet", alpha=0.25, image_size=32, weights=str(weights)
    )
    return sample_runs.execute(folder / "runs", NAME, seed=SEED, options=options)


def backbone_of(run: FinishedRun, network: str) -> Any:
    model: Any = fit.load(run.folder / network).model
    return model.get_layer("mobilenet")


def original(weights: Path) -> Any:
    """The network as the run built it."""
    return backbones.build("mobilenet", size=32, alpha=0.25, weights=str(weights)).model


def normalizations(model: Any) -> list[Any]:
    return [layer for layer in model._flatten_layers() if type(layer).__name__ == "BatchNormalization"]


def test_the_source_documents_settings_are_kept(whole: FinishedRun) -> None:
    (frozen,) = whole.networks["frozen"]["phases"]
    (tuned,) = whole.networks["fine-tuned"]["phases"]
    assert frozen["optimizer"] == tuned["optimizer"] == "Adam"
    assert frozen["learning_rate"] == pytest.approx(1e-3)
    assert tuned["learning_rate"] == pytest.approx(1e-5)
    assert frozen["trainable_parameters"] == 2048 + 1
    assert whole.networks["frozen"]["batch"] == 32
    assert whole.networks["frozen"]["output"] == "logit"
    model: Any = fit.load(whole.folder / "frozen").model
    kinds = [type(layer).__name__ for layer in model.layers[2:]]
    assert kinds == ["Functional", "GlobalAveragePooling2D", "Dropout", "Dense"]
    flip, turn = model.layers[1].layers
    assert (flip.mode, turn.factor, model.layers[4].rate) == ("horizontal", (-0.1, 0.1), 0.2)


def test_three_classes_get_a_softmax(own: FinishedRun) -> None:
    network = own.networks["fine-tuned"]
    assert (network["output"], network["labels"]) == ("softmax", ["blue", "green", "red"])
    assert np.shape(network["test"]["confusion"]) == (3, 3)


def test_frozen_weights_are_bit_identical(own: FinishedRun, weights: Path) -> None:
    assert rules.digest(backbone_of(own, "frozen").weights) == rules.digest(original(weights).weights)


def test_fine_tuning_changes_all_but_batch_normalization(own: FinishedRun, weights: Path) -> None:
    tuned, before = backbone_of(own, "fine-tuned"), original(weights)
    for new, old in zip(tuned.weights, before.weights, strict=True):
        if "kernel" in new.path:
            assert np.abs(new.numpy() - old.numpy()).max() > 1e-7, new.path
    pairs = list(zip(normalizations(tuned), normalizations(before), strict=True))
    assert len(pairs) == 27
    for new, old in pairs:
        assert rules.digest(new.weights) == rules.digest(old.weights)


def test_augmentation_acts_in_training_only(own: FinishedRun) -> None:
    model: Any = fit.load(own.folder / "fine-tuned").model
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(model.layers[1](images, training=False), images)
    assert np.abs(np.asarray(model.layers[1](images, training=True)) - images).max() > 1
    np.testing.assert_array_equal(model(images, training=False), model(images, training=False))


def test_a_users_images_are_all_used(own: FinishedRun) -> None:
    network = own.networks["frozen"]
    assert (network["train_images"], network["validation_images"]) == (24, 6)
    assert network["test"]["images"] == 12


def test_the_public_images_are_divided_as_in_the_source_document() -> None:
    data = datasets.cats_dogs(profiles.SAMPLE, progress.SILENT.tell)
    count = len(data.train) + len(data.test)
    learning, aside, test = parts(data, SEED)
    assert len(learning) == min(round(0.4 * count), len(data.train) - len(aside))
    assert len(aside) == round(0.1 * count)
    assert len(test) == len(data.test)
    images = [image.tobytes() for part in (learning, aside, test) for image in part.images]  # type: ignore
    assert len(set(images)) == len(images)


def test_everything_is_measured_drawn_and_described(own: FinishedRun) -> None:
    assert {figure.metric for figure in experiments.find(NAME).figures} <= own.metrics["metrics"].keys()
    drawn = ["samples.png", "augmentations.png", "what-decided-fine-tuned.png"]
    assert [image["file"] for image in own.metrics["plots"]] == drawn
    for image in own.metrics["plots"]:
        with Image.open(own.folder / image["file"]) as plot:
            assert plot.width > 500
    assert "“a good improvement”" in said(own)
    assert f"{100 * own.metrics['metrics']['test_accuracy']:.2f} %" in said(own)


def test_a_study_repeats_it_over_seeds() -> None:
    found = study.study_of(experiments.find(NAME))
    (variant,) = found.variants
    assert found.settings(variant) == {}
    assert found.meaning(variant) == "as in the source document"
    with pytest.raises(UnknownVariantError, match="'5-6'"):
        found.settings("5-6")


def test_it_runs_without_options(whole: FinishedRun) -> None:
    assert whole.metrics["procedural"]
    assert whole.config["weights"]["network"] == "xception"
    assert whole.networks["frozen"]["parameters"] == experiments.find(NAME).parameters
    assert said(whole).startswith("Procedural images and random weights: these figures mean nothing.\n")
    for name in ("frozen", "fine-tuned"):
        rows = history.read(whole.folder / name / run_folder.HISTORY)
        assert len(rows) == 3
        assert np.isfinite([row["val_loss"] for row in rows]).all()
