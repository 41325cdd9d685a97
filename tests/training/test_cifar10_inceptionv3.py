"""Source document 001: a head on stored features, and the fine-tuning that the document does not do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import drawn_folders
import lively_weights
import numpy as np
import pytest
import sample_runs
from sample_runs import said

from keraserve_training import experiments
from keraserve_training.data.images import Images
from keraserve_training.learning import fit, rules
from keraserve_training.number_format import duration
from keraserve_training.options import Options
from keraserve_training.pretrained import backbones, standardising
from keraserve_training.records import history, run_folder
from keraserve_training.records.findings import Findings
from keraserve_training.records.run_folder import FinishedRun

pytestmark = pytest.mark.usefixtures("tensorflow")
NAME, SEED = "cifar10-inceptionv3", 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tensorflow: None) -> FinishedRun:
    """As it is: InceptionV3, ten classes, frozen."""
    return sample_runs.execute(tmp_path_factory.mktemp("whole"), NAME, seed=SEED)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, tensorflow: None) -> Path:
    return lively_weights.write(tmp_path_factory.mktemp("weights"), size=64)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> FinishedRun:
    """With a user's images of three classes, MobileNet, and fine-tuning."""
    folder = tmp_path_factory.mktemp("own")
    drawn_folders.draw(folder / "colours", train=15, test=6)
    options = Options(
        data=str(folder / "colours"),
        backbone="mobilenet",
        alpha=0.25,
        image_size=64,
        weights=str(weights),
        fine_tune=True,
    )
    return sample_runs.execute(folder / "runs", NAME, seed=SEED, options=options)


def test_the_source_documents_settings_are_kept(whole: FinishedRun) -> None:
    head = whole.networks["head"]
    (phase,) = head["phases"]
    assert (phase["optimizer"], head["batch"], head["output"]) == ("RMSprop", 50, "softmax")
    assert phase["learning_rate"] == pytest.approx(1e-3)
    assert head["validation_images"] == 0.2 * (head["train_images"] + head["validation_images"])
    standardised, *layers = fit.load(whole.folder / "head").model.layers
    assert standardised.name == "standardised"  # since the sample's weights are random
    kinds = ["Conv2D", "Dropout", "GlobalAveragePooling2D", "Dropout", "Dense"]
    assert [type(layer).__name__ for layer in layers] == kinds
    assert (layers[0].filters, layers[1].rate, layers[3].rate) == (100, 0.4, 0.3)
    assert layers[0].activation.__name__ == "linear"
    relu: Any = fit.load(whole.folder / "head-relu").model.layers
    assert relu[1].activation.__name__ == "relu"
    # The document's 3 by 3 places at 139 pixels allow its 2 by 2 convolution; the sample's only one does not.
    assert head["parameters"] == 2048 * 100 + 100 + 1_010
    assert experiments.find(NAME).parameters == 21_802_784 + 819_300 + 1_010


def test_the_best_epoch_is_restored(whole: FinishedRun) -> None:
    rows = history.read(whole.folder / "head" / run_folder.HISTORY)
    best = min(rows, key=lambda row: row["val_loss"])
    assert whole.networks["head"]["best_epoch"] == best["epoch"]
    assert whole.metrics["metrics"]["validation_accuracy"] == best["val_accuracy"]
    assert not (whole.folder / "head" / run_folder.BEST).exists()


def test_backbone_and_head_together_agree_with_the_stored_features(
    whole: FinishedRun, tuned: FinishedRun
) -> None:
    for run, name in ((whole, "classifier"), (tuned, "frozen")):
        network = run.networks[name]
        assert network["difference"] < 1e-4
        assert network["test"] == run.networks["head"]["test"]
        assert network["parameters"] > run.networks["head"]["parameters"]


def test_the_frozen_network_is_bit_identical(tuned: FinishedRun, weights: Path) -> None:
    original = backbones.build("mobilenet", size=64, alpha=0.25, weights=str(weights)).model
    model: Any = fit.load(tuned.folder / "frozen").model
    assert rules.digest(model.get_layer("mobilenet").weights) == rules.digest(original.weights)


def test_fine_tuning_changes_all_but_batch_normalization(tuned: FinishedRun) -> None:
    before, after = (fit.load(tuned.folder / name).model for name in ("frozen", "classifier"))
    assert after.layers[1].__class__.__name__ == "RandomFlip"
    weights = [weight for weight in after.weights if "seed" not in weight.path]
    for new, old in zip(weights, before.weights, strict=True):
        changed = np.abs(new.numpy() - old.numpy()).max() > 0
        normalised = "_bn/" in old.path
        assert changed != normalised, old.path
    assert sum("_bn/" in weight.path for weight in before.weights) == 4 * 27


def test_fine_tuning_is_slow_and_slows_down(tuned: FinishedRun) -> None:
    (phase,) = tuned.networks["classifier"]["phases"]
    assert phase["learning_rate"] < tuned.networks["head"]["phases"][0]["learning_rate"]
    rates = [row["learning_rate"] for row in history.read(tuned.folder / "classifier" / run_folder.HISTORY)]
    assert rates[0] > rates[1] > rates[2] == pytest.approx(0, abs=1e-9)


def test_the_fine_tuned_network_is_the_one_that_is_served(whole: FinishedRun, tuned: FinishedRun) -> None:
    (servable,) = experiments.find(NAME).servables
    for run in (whole, tuned):
        assert (run.folder / servable.model / run_folder.MODEL).is_file()
    assert tuned.networks[servable.model]["labels"] == ["blue", "green", "red"]
    accuracy = tuned.networks[servable.model]["test"]["accuracy"]
    assert accuracy == tuned.metrics["metrics"]["test_accuracy_fine_tuned"]
    model: Any = fit.load(tuned.folder / servable.model).model
    images = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(model(images, training=False), model(images, training=False))


def test_it_says_how_far_it_is_from_the_source_document(whole: FinishedRun, tuned: FinishedRun) -> None:
    caveat, *dead, first, relu, computing = said(
        whole, test_accuracy=0.8346, test_accuracy_relu=0.85
    ).splitlines()
    assert caveat == "Procedural images and random weights: these figures mean nothing."
    assert all("The head gets them standardised" in sentence for sentence in dead)
    assert "right, +1.00 points against the source document's 82.46 %" in first
    assert "would give" in first
    assert "it gets 85.00 % right (+1.54 points), from the same features" in relu
    assert "McNemar" in relu or "Both get the same" in relu
    again = whole.metrics["metrics"]["extraction_seconds_training"] * whole.networks["head"]["epochs"]
    assert f"in every epoch, for all but the test images, would have taken {duration(again)}" in computing
    *_, first, _, _, last = said(tuned, test_accuracy=0.78, test_accuracy_fine_tuned=0.88).splitlines()
    assert "\u22124.46 points" in first
    assert "which the source document does not do" in last
    assert "88.00 % right (+10.00 points; against the source document +5.54 points)" in last


def test_every_figure_is_measured(whole: FinishedRun, tuned: FinishedRun) -> None:
    wanted = {figure.metric for figure in experiments.find(NAME).figures}
    assert wanted <= tuned.metrics["metrics"].keys()
    assert wanted - whole.metrics["metrics"].keys() == {"test_accuracy_fine_tuned"}


def test_features_of_random_weights_reach_the_head_standardised(whole: FinishedRun) -> None:
    assert whole.metrics["metrics"]["features_standardised"] == 1
    assert all(record["deviation"] >= 0 for record in whole.metrics["features"])
    model: Any = fit.load(whole.folder / "classifier").model
    assert whole.networks["classifier"]["difference"] < 1e-4  # through the layer as beside it
    assert any(layer.name == "standardised" for layer in model._flatten_layers())


def test_features_that_hardly_differ_are_standardised() -> None:
    """As MobileNet 0.25 with random weights gives them: a deviation of 3e-16 around a mean of 1e-15."""
    generator = np.random.default_rng(0)
    images = (1e-15 + 3e-16 * generator.standard_normal((500, 2, 2, 3))).astype(np.float32)
    images[..., 2] = 0.25  # one that is constant
    found = standardising.spread(Images(images, np.zeros(500, np.int32)))
    assert found.median == pytest.approx(3e-16, rel=0.05)
    scaled = np.asarray(standardising.layer(found)(images))
    np.testing.assert_allclose(scaled.mean((0, 1, 2)), [0, 0, 0], atol=1e-3)
    np.testing.assert_allclose(scaled.std((0, 1, 2)), [1, 1, 0], atol=1e-3)


@pytest.mark.parametrize(
    ("deviation", "standardised", "words"),
    [
        (3e-16, 1.0, "(median deviation 3e-16). The head gets them standardised."),
        (3e-16, 0.0, "so this is no measure of what pre-training is worth"),
        (1e-6, 0.0, ""),
        (0.5, 0.0, ""),
    ],
)
def test_features_that_hardly_differ_are_named(
    whole: FinishedRun, deviation: float, standardised: float, words: str
) -> None:
    features = [record | {"deviation": deviation} for record in whole.metrics["features"]]
    metrics = whole.metrics["metrics"] | {"features_standardised": standardised}
    changed = replace(whole, metrics=whole.metrics | {"features": features, "metrics": metrics})
    _, *caveats = Findings(changed, whole.folder).caveats
    assert bool(caveats) == bool(words)
    assert all(words in caveat for caveat in caveats)
