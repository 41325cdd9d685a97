"""The experiments of source document 000 that start from scratch: networks, rules, and what they say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import drawn_folders
import numpy as np
import pytest
import sample_runs
from PIL import Image
from sample_runs import said

from keraserve_training import experiments, profiles, progress
from keraserve_training.data import datasets
from keraserve_training.data.dataset import Dataset
from keraserve_training.data.examples import limited
from keraserve_training.experiments._cifar100 import PLACES, Training, convolutional_network, turning_point
from keraserve_training.experiments.cifar100_autoencoder import autoencoder, autoencoder_inside, started_from
from keraserve_training.experiments.cifar100_cnn_dropout import PLACEMENTS
from keraserve_training.learning import fit
from keraserve_training.number_format import points
from keraserve_training.options import Options
from keraserve_training.records import history, run_folder
from keraserve_training.records.run_folder import FinishedRun

pytestmark = pytest.mark.usefixtures("tensorflow")
NAMES = ("cifar100-cnn", "cifar100-cnn-dropout", "cifar100-autoencoder")
SEED = 7
# The sample profile, and less of it: these networks learn nothing in so few steps, however many they are.
SMALL = replace(profiles.SAMPLE, small=profiles.Share(0.002, 100), max_epochs=2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cifar100")


@pytest.fixture(scope="module")
def finished(runs: Path, tensorflow: None) -> dict[str, FinishedRun]:
    return {name: sample_runs.execute(runs, name, seed=SEED, profile=SMALL) for name in NAMES}


@pytest.fixture(scope="module")
def data() -> Dataset:
    """A hundred classes, but few images."""
    whole = datasets.cifar100(profiles.SAMPLE, progress.SILENT.tell)
    return replace(whole, train=limited(whole.train, 8), test=limited(whole.test, 8))


def test_the_networks_are_those_of_the_source_document(finished: dict[str, FinishedRun]) -> None:
    for name in NAMES:
        network = finished[name].networks["cnn"]
        # 896 + 9,248 + 18,496 + 36,928 + 4,195,328 + 102,500: convolutions, dense layers
        assert network["parameters"] == 4_363_396 == experiments.find(name).parameters
        (phase,) = network["phases"]
        assert (phase["optimizer"], network["batch"], network["input"]) == ("SGD", 128, [32, 32, 3])
        assert phase["learning_rate"] == pytest.approx(0.01)
        assert len(network["labels"]) == 100
    made: Any = Training().phase().optimizer()
    assert (Training().epochs, made.momentum) == (15, 0.9)


def test_every_figure_is_measured_and_every_image_drawn(finished: dict[str, FinishedRun]) -> None:
    for name, run in finished.items():
        figures = experiments.find(name).figures
        assert all(np.isfinite(run.metrics["metrics"][figure.metric]) for figure in figures)
        for image in run.metrics["plots"]:
            with Image.open(run.folder / image["file"]) as drawn:
                assert drawn.width > 500


def test_the_network_that_all_are_compared_with_is_trained_once(finished: dict[str, FinishedRun]) -> None:
    first, *others = (run_folder.read_json(run.folder / "cnn/result.json") for run in finished.values())
    assert all(other == first for other in others)  # also its seconds


@pytest.mark.parametrize(
    ("places", "at"),
    [
        ((), []),
        (("conv 1",), [2, 6]),
        (("conv 2",), [3, 7]),
        (("pooling",), [4, 8]),
        (PLACES, [2, 4, 6, 8, 10, 12]),
    ],
)
def test_dropout_is_where_it_should_be(data: Dataset, places: tuple[str, ...], at: list[int]) -> None:
    from keras import layers

    network = convolutional_network(data, Training(), places, 0.25)
    dropped = [place for place, layer in enumerate(network.layers) if isinstance(layer, layers.Dropout)]
    assert dropped[:-1] == at  # the last is that of the dense layer
    assert {network.layers[place].rate for place in at} <= {0.25}
    assert network.layers[dropped[-1]].rate == 0.5
    assert network.count_params() == 4_363_396


def test_all_placements_are_compared(finished: dict[str, FinishedRun]) -> None:
    run = finished["cifar100-cnn-dropout"]
    (table,) = run.metrics["tables"]
    placements = ["none", "after conv 1", "after conv 2", "after pooling", "everywhere"]
    assert [row[0] for row in table["rows"]] == placements
    metrics = run.metrics["metrics"]
    for name in PLACEMENTS:
        key = name.replace("-", "_")
        gain = metrics[f"test_accuracy_{key}"] - metrics["test_accuracy_none"]
        assert metrics[f"gain_{key}"] == pytest.approx(gain)
        assert len(history.read(run.folder / name / run_folder.HISTORY)) == 2
    assert "no dropout" not in said(run)


def test_no_placement_is_called_the_best(finished: dict[str, FinishedRun]) -> None:
    """One run is a figure: each placement stands beside none, on the same test images."""
    run = finished["cifar100-cnn-dropout"]
    text = said(run)
    for words in ("best", "helps", "needs more epochs"):
        assert words not in text
    assert "This is one run" in text
    for name in PLACEMENTS:
        assert f"Dropout {name.replace('-', ' ')}: " in text
    assert text.count("exact McNemar test") + text.count("Both get the same") == len(PLACEMENTS)


def test_the_second_autoencoder_leaves_the_first_as_it_was(finished: dict[str, FinishedRun]) -> None:
    run = finished["cifar100-autoencoder"]
    first, second = (run.networks[name] for name in ("autoencoder-1", "autoencoder-2"))
    assert first["parameters"] == 896 + 867
    assert second["parameters"] == 896 + 9_248 + 9_248 + 867
    assert [phase["trainable_parameters"] for phase in second["phases"]] == [9_248 + 9_248]
    assert {phase["optimizer"] for network in (first, second) for phase in network["phases"]} == {"Adam"}
    models = [fit.load(run.folder / name).model for name in ("autoencoder-1", "autoencoder-2")]
    for layer in ("encoder_1", "decoder_1"):
        ours, theirs = (model.get_layer(layer).get_weights() for model in models)
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(mine, other)


def test_both_encoders_start_the_network(data: Dataset) -> None:
    first = autoencoder(data)
    second = autoencoder_inside(first)
    before = [weight.copy() for weight in [*first.get_weights(), *second.get_weights()]]
    network = convolutional_network(data, Training())
    rest = [layer.get_weights() for layer in network.layers[3:]]
    started_from(network, first, second)
    for layer, source in (("block1_conv1", first), ("block1_conv2", second)):
        encoder = source.get_layer(f"encoder_{layer[-1]}").get_weights()
        for ours, theirs in zip(network.get_layer(layer).get_weights(), encoder, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for weights, layer in zip(rest, network.layers[3:], strict=True):
        for ours, theirs in zip(weights, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for weight in network.weights:  # what the network learns does not change the autoencoders
        weight.assign(weight + 1)
    for ours, theirs in zip(before, [*first.get_weights(), *second.get_weights()], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_gain_of_pre_training_is_a_figure(finished: dict[str, FinishedRun]) -> None:
    run = finished["cifar100-autoencoder"]
    text = said(run)
    assert points(run.metrics["metrics"]["gain"]) in text
    assert "This is one run" in text
    assert "exact McNemar test" in text or "Both get the same" in text
    for words in ("improves", "falls behind", "equals"):
        assert words not in text


def rows(*losses: float) -> list[dict[str, float]]:
    return [{"epoch": epoch, "val_loss": loss} for epoch, loss in enumerate(losses, 1)]


def test_the_turning_point_of_the_test_loss_is_found() -> None:
    assert "lowest after epoch 2 (1.500) and ends at 3.000" in turning_point(rows(2, 1.5, 3))
    assert "lowest at the end (1.000)" in turning_point(rows(2, 1.5, 1))
    assert "diverged" in turning_point(rows(float("nan"), float("inf")))


def test_ones_own_images(tmp_path: Path) -> None:
    options = Options(data=str(drawn_folders.draw(tmp_path / "colours")))
    run = sample_runs.execute(tmp_path / "runs", "cifar100-cnn", seed=SEED, options=options, profile=SMALL)
    network = run.networks["cnn"]
    assert network["labels"] == ["blue", "green", "red"]
    assert network["input"] == [32, 32, 3]
    assert run.config["data"]["kind"] == "folder"
    assert "guessing would give 33.33 %" in said(run)
