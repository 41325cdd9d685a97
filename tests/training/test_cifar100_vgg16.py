"""The experiments of source document 000 on VGG16: networks, rules, and what goes wrong."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import drawn_folders
import keras
import numpy as np
import pytest
import sample_runs
from sample_runs import said

from keraserve_training import experiments, profiles, progress
from keraserve_training.data import datasets
from keraserve_training.data.images import Images
from keraserve_training.experiments._cifar100 import Training
from keraserve_training.experiments._cifar100_vgg16 import lagging, problems, scale, silent_units
from keraserve_training.experiments.cifar100_vgg16_finetune import with_head
from keraserve_training.learning import fit, rules
from keraserve_training.learning.evaluation import evaluate
from keraserve_training.options import Options, flag
from keraserve_training.pretrained import backbones
from keraserve_training.records.findings import Findings
from keraserve_training.records.run_folder import FinishedRun

pytestmark = pytest.mark.usefixtures("tensorflow")
DENSE, BATCHNORM, FINETUNE = (f"cifar100-vgg16-{name}" for name in ("dense", "batchnorm", "finetune"))
NAMES = (DENSE, BATCHNORM, FINETUNE)
SEED = 7
# Less of the sample profile: a hundred images show as much as five hundred.
SMALL = replace(profiles.SAMPLE, small=profiles.Share(0.002, 100), max_epochs=2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cifar100-vgg16")


@pytest.fixture(scope="module")
def finished(runs: Path, tensorflow: None) -> dict[str, FinishedRun]:
    return {name: sample_runs.execute(runs, name, seed=SEED, profile=SMALL) for name in NAMES}


@pytest.fixture(scope="module")
def vgg16(tensorflow: None) -> backbones.Backbone:
    """As the runs have it."""
    return backbones.build("vgg16", size=32, weights="random", seed=SEED)


def leaves(model: Any) -> dict[str, Any]:
    """The layers that hold no others, by name, however deep."""
    return {layer.name: layer for layer in model._flatten_layers() if not hasattr(layer, "layers")}


def same(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    return all(np.array_equal(mine, other) for mine, other in zip(ours, theirs, strict=True))


def test_the_networks_are_those_of_the_source_document(finished: dict[str, FinishedRun]) -> None:
    # A dense layer of 512 inputs, one of 100 classes; with BatchNormalization of 512 and of 1,024 numbers
    heads = {DENSE: 525_312 + 102_500, BATCHNORM: 2_048 + 525_312 + 4_096 + 102_500}
    for name, count in heads.items():
        assert finished[name].networks["head"]["parameters"] == count
        assert finished[name].networks["head"]["input"] == [1, 1, 512]
    block = finished[FINETUNE].networks["together"]
    assert block["input"] == [2, 2, 512]
    assert block["parameters"] == 3 * (9 * 512 * 512 + 512) + heads[BATCHNORM]
    for name in NAMES:
        whole = finished[name].networks["classifier"]
        assert whole["parameters"] == experiments.find(name).parameters
        assert whole["input"] == [32, 32, 3]
        assert len(whole["labels"]) == 100
        trained = finished[name].networks["together" if name == FINETUNE else "head"]
        (phase,) = trained["phases"]
        assert (phase["optimizer"], trained["batch"]) == ("SGD", 128)
        assert phase["learning_rate"] == pytest.approx(0.01)


def test_every_figure_is_measured(finished: dict[str, FinishedRun]) -> None:
    for name, done in finished.items():
        # VGG16 has no BatchNormalization, so its block has no controls.
        controls = {"test_accuracy_head_first", "test_accuracy_batchnorm_learning"}
        figures = {figure.metric for figure in experiments.find(name).figures} - controls
        assert all(np.isfinite(done.metrics["metrics"][metric]) for metric in figures)


def test_the_layers_are_listed(finished: dict[str, FinishedRun]) -> None:
    table, wrong = finished[DENSE].metrics["tables"]
    assert len(wrong["rows"][0]) == 3
    assert finished[DENSE].metrics["metrics"]["layers"] == len(table["rows"]) == 19
    assert table["rows"][-1] == ["block5_pool", "MaxPooling2D", "1 by 1 by 512", "0"]
    assert ["block1_conv2", "Conv2D", "32 by 32 by 64", "36,928"] in table["rows"]
    text = said(finished[DENSE])
    assert "vgg16 has 19 layers; the 23 of the source document are those with its top" in text


def test_features_are_computed_once(finished: dict[str, FinishedRun]) -> None:
    assert [each["from_cache"] for each in finished[DENSE].metrics["features"]] == [False] * 4
    assert [each["from_cache"] for each in finished[BATCHNORM].metrics["features"]] == [True, True]


@pytest.mark.parametrize("name", NAMES)
def test_the_exported_model_is_as_accurate_as_the_head(finished: dict[str, FinishedRun], name: str) -> None:
    trained = fit.load(finished[name].folder / "classifier")
    images = datasets.cifar100(SMALL, progress.SILENT.tell).test
    assert evaluate(trained, images).accuracy == finished[name].metrics["metrics"]["test_accuracy"]


def test_only_the_last_block_has_changed(finished: dict[str, FinishedRun], vgg16: backbones.Backbone) -> None:
    before = leaves(vgg16.model)
    for name in NAMES:
        after = leaves(fit.load(finished[name].folder / "classifier").model)
        for layer in before:
            if not before[layer].weights:
                continue
            unchanged = same(before[layer].get_weights(), after[layer].get_weights())
            assert unchanged == (name != FINETUNE or not layer.startswith("block5")), (name, layer)


def test_the_last_block_starts_as_a_clone(vgg16: backbones.Backbone) -> None:
    _, tail = vgg16.split()
    before = [weight.copy() for weight in tail.get_weights()]
    model = with_head(tail, 5, Training())
    assert same(model.layers[0].get_weights(), before)
    for weight in model.weights:
        weight.assign(weight + 1)
    assert same(tail.get_weights(), before)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Options:
    """A user's own images, with MobileNet."""
    folder = drawn_folders.draw(tmp_path_factory.mktemp("own") / "colours")
    return Options(data=str(folder), backbone="mobilenet", alpha=0.25, weights="random")


@pytest.fixture(scope="module")
def done(runs: Path, own: Options, tensorflow: None) -> dict[str, FinishedRun]:
    return {name: sample_runs.execute(runs, name, seed=SEED, options=own) for name in NAMES}


def test_ones_own_images_and_another_backbone(done: dict[str, FinishedRun]) -> None:
    """MobileNet has BatchNormalization in its last block, which stays as it was; the head's learns."""
    for each in done.values():
        assert each.networks["classifier"]["labels"] == ["blue", "green", "red"]
        assert each.networks["classifier"]["composed_of"][0].startswith("mobilenet")
    text = said(done[DENSE])
    assert "the source document's VGG16 has 19, or 23 with its top" in text

    for name in ("together", "in-steps", "head-first"):
        kept, moved = [], []
        for layer in leaves(fit.load(done[FINETUNE].folder / name).model).values():
            if isinstance(layer, keras.layers.BatchNormalization):
                (kept if layer.name.startswith("conv_") else moved).append(layer)
        assert (len(kept), len(moved)) == (4, 2)
        assert all(np.array_equal(layer.moving_mean.numpy(), np.zeros(layer.gamma.shape)) for layer in kept)
        assert all(np.abs(layer.moving_mean.numpy()).max() > 0 for layer in moved)


def test_the_controls_change_one_thing_each(done: dict[str, FinishedRun]) -> None:
    """Of a network with BatchNormalization in its block: a head that has learnt, and moments that learn."""
    networks = done[FINETUNE].networks
    together, knows, moments = (networks[name] for name in ("together", "head-first", "batchnorm-learning"))
    for network in (knows, moments):
        ((ours,), (theirs,)) = network["phases"], together["phases"]
        assert {key: ours[key] for key in ("learning_rate", "epochs", "optimizer", "batch")} == {
            key: theirs[key] for key in ("learning_rate", "epochs", "optimizer", "batch")
        }
    assert knows["phases"] == together["phases"]
    learning = leaves(fit.load(done[FINETUNE].folder / "batchnorm-learning").model).values()
    inside = [layer for layer in learning if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(np.abs(layer.moving_mean.numpy()).max() > 0 for layer in inside)
    assert "Controls: behind a head that learnt alone" in said(done[FINETUNE])


def test_vgg16_has_no_batch_normalization_to_control_for(finished: dict[str, FinishedRun]) -> None:
    assert not {"head-first", "batchnorm-learning"} & finished[FINETUNE].networks.keys()
    assert "Controls" not in said(finished[FINETUNE])


@pytest.mark.parametrize(
    ("right", "words"),
    [
        ((10, 10, 90), "chance level, also behind a head that has learnt before, not with the block's"),
        ((10, 90, 10), "chance level, not behind a head that has learnt before, also with the block's"),
        ((90, 10, 10), ""),
    ],
)
def test_only_what_the_controls_show_is_called_a_cause(
    done: dict[str, FinishedRun], right: tuple[int, int, int], words: str
) -> None:
    run = done[FINETUNE]
    changed = dict(run.networks)
    for name, count in zip(("together", "head-first", "batchnorm-learning"), right, strict=True):
        confusion = [[count // 2, 50 - count // 2], [50 - count // 2, count // 2]]
        test = {"accuracy": count / 100, "images": 100, "confusion": confusion, "loss": 1.0, "mistakes": []}
        changed[name] = changed[name] | {"test": test, "labels": ["a", "b"]}
    other = replace(run, metrics=run.metrics | {"networks": changed})
    text = said(other)
    assert ("So in this run the document's way ends at chance level" in text) == bool(words)
    assert words in text
    assert "knows nothing yet" not in text


def test_the_head_learns_before_the_block_does(finished: dict[str, FinishedRun]) -> None:
    alone, both = finished[FINETUNE].networks["in-steps"]["phases"]
    head = finished[BATCHNORM].networks["head"]["phases"][0]["trainable_parameters"]
    assert alone["trainable_parameters"] == head
    assert both["trainable_parameters"] == head + 3 * (9 * 512 * 512 + 512)
    assert both["learning_rate"] == pytest.approx(alone["learning_rate"] / 100)


def test_only_the_same_backbone_is_compared(
    finished: dict[str, FinishedRun], done: dict[str, FinishedRun], runs: Path
) -> None:
    for name, other in ((BATCHNORM, DENSE), (FINETUNE, BATCHNORM)):
        for here in (finished, done):
            theirs = Findings(here[name], runs).of(other)
            assert theirs
            assert theirs.metrics == here[other].metrics["metrics"]
        wider = replace(finished[name], config=finished[name].config | {"options": {"alpha": 1.0}})
        text = said(wider)
        assert f"{other}, the same head" in text
        assert "has not run with these images, options and settings" in text


def test_a_run_killed_in_the_last_block_ends_with_the_same_weights(
    tmp_path: Path, own: Options, done: dict[str, FinishedRun]
) -> None:
    options = [word for name, value in own.given().items() for word in (flag(name), str(value))]
    sample_runs.killed_at("in-steps: epoch 4/6", tmp_path, FINETUNE, "--seed", str(SEED), *options)
    again = sample_runs.execute(tmp_path, FINETUNE, seed=SEED, options=own)
    for name in ("in-steps", "classifier-in-steps"):
        ours, theirs = (fit.load(each.folder / name).model for each in (again, done[FINETUNE]))
        assert rules.digest(ours.weights) == rules.digest(theirs.weights)


def numbers(*values: Sequence[float]) -> Images:
    """Examples of two features each."""
    images = np.array(values, np.float32).reshape(-1, 1, 1, 2)
    return Images(images, np.zeros(len(images), np.int32))


def test_the_scale_of_features_is_measured() -> None:
    found = scale(numbers((0, 10), (2, 10), (4, 10), (6, 0)))
    assert found["feature_mean"] == pytest.approx(42 / 8)
    assert found["feature_deviation"] == pytest.approx(math.sqrt((4 + 16 + 36 + 300) / 8 - (42 / 8) ** 2))
    assert found["feature_largest"] == 10
    assert found["feature_zeros"] == 2 / 8
    # of the single features: the root of 5, and that of 18.75
    low, high = math.sqrt(5), math.sqrt(18.75)
    assert found["feature_deviation_low"] == pytest.approx(low + 0.05 * (high - low))
    assert found["feature_deviation_high"] == pytest.approx(low + 0.95 * (high - low))


def test_silent_units_are_counted() -> None:
    units = 1024
    model = keras.Sequential(
        [
            keras.Input((1, 1, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="relu", name="hidden"),
        ]
    )
    kernel, bias = np.zeros((2, units), np.float32), np.full(units, -5.0, np.float32)
    kernel[0, : units // 4] = 1  # a quarter wakes up where the first feature exceeds 5
    model.get_layer("hidden").set_weights([kernel, bias])
    assert silent_units(model, numbers((0, 10), (6, 0))) == 0.75
    assert silent_units(model, numbers((0, 10), (4, 0))) == 1


def found(losses: Sequence[float], **metrics: float) -> Any:
    rows = [{"epoch": epoch, "loss": loss, "val_loss": loss + 1} for epoch, loss in enumerate(losses, 1)]
    usual = {"classes": 100, "gap": 0.05, "training_accuracy": 0.5, "silent_units": 0.02}
    given: Mapping[str, float] = usual | {"loss_first": losses[0], "loss_last": losses[-1]} | metrics
    return SimpleNamespace(metrics=given, history=lambda _: rows)


def test_moments_that_lag_behind_are_noticed() -> None:
    given = found((3.0, 2.0), training_accuracy=0.2)
    rows = [{"accuracy": 0.5}, {"accuracy": 0.6}]
    (sentence,) = lagging(SimpleNamespace(metrics=given.metrics, history=lambda _: rows), "head")
    assert "gets 60.00 % of the training images right, with the moments of each batch; tested" in sentence
    assert sentence.endswith("20.00 %.")
    rows[-1]["accuracy"] = 0.21
    assert not lagging(SimpleNamespace(metrics=given.metrics, history=lambda _: rows), "head")


def test_sentences_about_what_goes_wrong_appear_only_where_it_does() -> None:
    assert problems(found((3.0, 2.0))) == []
    (diverged,) = problems(found((3.0, math.nan, math.nan)))
    assert "From epoch 2 on" in diverged
    (first,) = problems(found((9.0, 2.0)))
    assert "the first epoch is 9.000, more than the ln 100 = 4.605 of guessing" in first
    (stuck,) = problems(found((4.6, 4.5)))
    assert "After 2 epochs the training loss is 4.500, where guessing gives 4.605" in stuck
    (silent,) = problems(found((3.0, 2.0), silent_units=0.75))
    assert "75.00 % of the dense units" in silent
    (by_heart,) = problems(found((3.0, 2.0), gap=0.3, training_accuracy=0.8))
    assert "80.00 % of the training images right, 30.00 points more" in by_heart
    assert len(problems(found((9.0, 4.5), silent_units=0.5, gap=0.2))) == 4
