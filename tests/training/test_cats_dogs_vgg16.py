"""Source document 003: the head on stored features, the network without them, and the time of both."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import drawn_folders
import numpy as np
import pytest
import sample_runs
from sample_runs import said

from keraserve_training import experiments
from keraserve_training.learning import fit, rules
from keraserve_training.options import Options
from keraserve_training.pretrained import backbones
from keraserve_training.records.run_folder import FinishedRun

pytestmark = pytest.mark.usefixtures("tensorflow")
NAME, SEED = "cats-dogs-vgg16", 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tensorflow: None) -> FinishedRun:
    """As it is: VGG16, two classes."""
    return sample_runs.execute(tmp_path_factory.mktemp("whole"), NAME, seed=SEED)


def test_the_source_documents_settings_are_kept(whole: FinishedRun) -> None:
    head, uncached, classifier = (whole.networks[name] for name in ("head", "uncached", "classifier"))
    assert (head["batch"], head["output"], uncached["output"]) == (32, "sigmoid", "sigmoid")
    kinds = [type(layer).__name__ for layer in fit.load(whole.folder / "head").model.layers]
    assert kinds == ["Flatten", "Dense", "Dropout", "Dense", "Dense"]
    # One place is left of 32 by 32 pixels; of the document's 224 by 224, 7 by 7.
    assert head["parameters"] == 512 * 400 + 400 + 8_020 + 21
    assert uncached["parameters"] == 14_714_688 + 512 * 400 + 400 + 40_100 + 101
    assert uncached["phases"][0]["trainable_parameters"] == uncached["parameters"] - 14_714_688
    assert classifier["parameters"] == 14_714_688 + head["parameters"]
    assert experiments.find(NAME).parameters == classifier["parameters"] + 48 * 512 * 400
    assert {phase["optimizer"] for phase in head["phases"] + uncached["phases"]} == {"RMSprop"}
    assert (head["epochs"], uncached["epochs"]) == (3, 1)


def test_backbone_and_head_together_agree_with_the_stored_features(whole: FinishedRun) -> None:
    assert whole.networks["classifier"]["difference"] < 1e-4
    assert whole.networks["classifier"]["composed_of"] == ["vgg16", "head"]
    assert whole.networks["classifier"]["test"] == whole.networks["head"]["test"]


def test_the_frozen_network_inside_is_bit_identical(whole: FinishedRun) -> None:
    size = whole.networks["uncached"]["input"][0]
    original = backbones.build("vgg16", size=size, weights="random", seed=SEED).model
    for name in ("uncached", "classifier"):
        model: Any = fit.load(whole.folder / name).model
        assert rules.digest(model.get_layer("vgg16").weights) == rules.digest(original.weights)


def test_what_storing_costs_and_saves_is_measured(whole: FinishedRun) -> None:
    metrics = whole.metrics["metrics"]
    assert {figure.metric for figure in experiments.find(NAME).figures} <= metrics.keys()
    assert metrics["images"] == 48
    assert metrics["cache_bytes"] == sum(record["bytes"] for record in whole.metrics["features"])
    assert metrics["cache_bytes"] >= 48 * 512 * 4
    assert metrics["cache_bytes_25000"] == pytest.approx(metrics["cache_bytes"] * 25_000 / 48)
    assert metrics["ratio"] == pytest.approx(
        metrics["epoch_seconds_uncached"] / metrics["epoch_seconds_cached"]
    )


TIMES = {
    "extraction_seconds": 2700.0,
    "epoch_seconds_uncached": 3600.0,
    "epoch_seconds_cached": 10.0,
    "ratio": 360.0,
}


def test_the_source_documents_estimate_is_corrected(whole: FinishedRun) -> None:
    text = said(beside(whole, 0.02), **TIMES)
    assert text.startswith("Procedural images and random weights: these figures mean nothing.")
    assert (
        "took 45 min 0 s. The training steps of an epoch on them, without tracing the graph, take 10.0 s;"
        " with vgg16 inside they take 1 h 0 min, 360.0 times as long. By these times storing pays from epoch"
        " 1 on."
    ) in text
    assert "100,352 bytes an image, 2.5 GB in all, 32 times as much" in text
    assert "estimates 74 MB" in text
    assert "storing pays" not in said(beside(whole, 0.02), epoch_seconds_uncached=1, epoch_seconds_cached=2)


@pytest.mark.parametrize(("share", "words"), [(0.5, "took up to 50 %"), (None, "is not known")])
def test_busy_machines_times_are_not_compared(whole: FinishedRun, share: float | None, words: str) -> None:
    text = said(beside(whole, share), **TIMES)
    assert words in text
    assert "they take 1 h 0 min. (" in text
    for verdict in ("times as long", "storing pays"):
        assert verdict not in text


def beside(run: FinishedRun, share: float | None) -> FinishedRun:
    """A run during which others took so much of the processors' time."""
    networks = {name: network | {"others_share": share} for name, network in run.networks.items()}
    return replace(run, metrics=run.metrics | {"networks": networks})


def test_three_classes_of_a_user_with_another_network(tmp_path: Path) -> None:
    folder = drawn_folders.draw(tmp_path / "colours", train=8, test=4)
    options = Options(data=str(folder), backbone="mobilenet", alpha=0.25, weights="random", image_size=64)
    run = sample_runs.execute(tmp_path / "runs", NAME, seed=SEED, options=options)
    network = run.networks["classifier"]
    assert (network["output"], network["input"]) == ("softmax", [64, 64, 3])
    assert network["labels"] == ["blue", "green", "red"]
    assert network["difference"] < 1e-4
    assert np.shape(network["test"]["confusion"]) == (3, 3)
    assert run.networks["head"]["train_images"] == 24
