"""Source document 000, d and e: a dense head on VGG16's features of small images, and what goes wrong."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keraserve_training import settings as declare
from keraserve_training.data import datasets
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.experiments._cifar100 import NETWORK, Training, against
from keraserve_training.experiments._cifar100_vgg16 import (
    CLASSIFIER,
    HEAD,
    SIZE,
    TAKES,
    features_of,
    figures,
    problems,
    train_head,
)
from keraserve_training.number_format import Unit, duration, percent, points, value
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings, Metrics

if TYPE_CHECKING:
    import keras

    from keraserve_training.pretrained.backbones import Backbone
    from keraserve_training.run import Run

_UNSCALED = "head-unscaled"
_WITH_TOP, _WITHOUT_TOP = 23, 19  # layers of VGG16, as the source document counts them and as it uses them
_NO_PROBLEM = (
    "In this run the first epoch's loss is at most 5 % above that of guessing, the last one's below 90 % of"
    " it, at most a tenth of the dense units are silent, and training accuracy is at most 10 points above"
    " test accuracy."
)


@dataclass(frozen=True)
class Settings(Training):
    """Those of the head, which learns for fewer epochs here."""

    epochs: int = declare.epochs(10, "Passes over all images.")


def cifar100_vgg16_dense() -> Experiment:
    """A dense head on the features of VGG16 for images of 32 by 32 pixels.

    Task: tells the hundred fine classes of CIFAR-100 apart. VGG16 without its top, frozen, computes the
        features of every image once; 1,024 dense units, half of them dropped, learn from them, 10 epochs of
        the SGD of `cifar100-cnn`. What goes wrong is measured: the scale of the features, silent units, both
        curves.
    Difference: the source document's code feeds VGG16 with pixels from 0 to 1. Here it gets them as it was
        trained with them (blue first, means subtracted); the document's way is measured beside it.
    Command: `keraserve-train run cifar100-vgg16-dense`
    Expected: test accuracy as in `expected_ranges.json` (ranges of full runs); the source document prints
        none.
    Hardware: two processor cores; not measured with VGG16. Most of the time goes to the features.
    """
    return Experiment(
        name="cifar100-vgg16-dense",
        source="000",
        title="CIFAR-100: a dense head on the features of VGG16",
        task=(
            "VGG16 without its top, frozen, computes the features of every image of CIFAR-100 once, at 32 by"
            " 32 pixels. A dense layer learns the hundred fine classes from them."
        ),
        data="CIFAR-100",
        weights="imagenet",
        figures=(
            Figure("test_accuracy", "Test accuracy", "not printed; “what happens?”"),
            Figure("gap", "Training minus test accuracy", "not printed", "points"),
            Figure("loss_first", "Training loss of the first epoch", "not printed", "loss"),
            Figure("loss_last", "Training loss of the last epoch", "not printed", "loss"),
            Figure("silent_units", "Dense units that are 0 for every test image", "not printed"),
            Figure("test_accuracy_unscaled", "Pixels from 0 to 1: test accuracy", "not printed"),
            Figure("layers", "Layers of the network without its top", "23 (with its top)", "count"),
            Figure("extraction_seconds", "Time to compute all features", "not printed", "seconds"),
            Figure("seconds", "Wall time of the head's training", "not printed", "seconds"),
        ),
        parameters=15_342_500,
        run=train,
        servables=(
            Servable(
                "cifar100-vgg16-dense", CLASSIFIER, "Tells the hundred fine classes of CIFAR-100 apart."
            ),
        ),
        learnt=learnt,
        phrases={
            "VGG16": "network",
            "32 by 32 pixels": "size",
            "Tells the hundred fine classes of CIFAR-100 apart": "classes",
            "CIFAR-100": "data",
            "the hundred fine classes": "classes",
        },
        takes=TAKES,
        settings=Settings,
    )


def train(run: "Run", settings: Settings) -> None:
    """List the network's layers, store its features, train the head on them, join both.

    Then train the same head on features of images that are scaled as in the source document's code.
    """
    backbone = run.backbone("vgg16", size=SIZE)
    layers = list_layers(run, backbone)
    data = run.load(datasets.cifar100, size=backbone.size)
    features = features_of(run, backbone.model, data)
    head = train_head(run, HEAD, features, data, settings, normalised=False)
    found = figures(run, head, features, data)
    run.compose(CLASSIFIER, backbone.model, head, images=data.test, features=features[1])
    unscaled = features_of(run, as_the_document_feeds(backbone), data)
    other = train_head(run, _UNSCALED, unscaled, data, settings, normalised=False)
    theirs = figures(run, other, unscaled, data)
    _compare(run, {"as it was trained": found, "from 0 to 1": theirs})
    run.finish(found | {f"{metric}_unscaled": value for metric, value in theirs.items()} | {"layers": layers})


def learnt(findings: Findings) -> list[str]:
    """Say what the network is, how good the head is, and what goes wrong."""
    metrics, networks = findings.metrics, findings.networks
    backbone, layers = networks[CLASSIFIER]["composed_of"][0], round(metrics["layers"])
    counted = (
        f"the {_WITH_TOP} of the source document are those with its top"
        if layers == _WITHOUT_TOP
        else f"the source document's VGG16 has {_WITHOUT_TOP}, or {_WITH_TOP} with its top"
    )
    head = networks[HEAD]
    return [
        *findings.caveats,
        f"Without its top {backbone} has {layers} layers; {counted}. Its features were computed once, in"
        f" {duration(metrics['extraction_seconds'])}.",
        f"After {head['epochs']} epochs on them the head gets {evidence.accuracy(head['test'])} of the test"
        f" images right; {evidence.guessing(head['test'], head['labels'])}. {evidence.ONE_RUN}",
        against(findings, HEAD, "cifar100-cnn", NETWORK, "the network from scratch"),
        *(problems(findings) or [_NO_PROBLEM]),
        _scale(metrics),
        _unscaled(findings),
    ]


def list_layers(run: "Run", backbone: "Backbone") -> int:
    """Put the network's layers into the report; returns how many there are."""
    layers = backbone.layers()
    run.table(
        f"{backbone.network.title} without its top, for {backbone.size} by {backbone.size} pixels",
        ["layer", "kind", "output", "parameters"],
        [
            [layer.name, layer.kind, " by ".join(map(str, layer.shape)), f"{layer.parameters:,}"]
            for layer in layers
        ],
        f"{len(layers)} layers with {sum(layer.parameters for layer in layers):,} parameters. What scales the"
        " pixels as the network was trained with them comes before.",
    )
    return len(layers)


def as_the_document_feeds(backbone: "Backbone") -> "keras.Model":
    """The network for pixels from 0 to 1, with which it was not trained."""
    from keras import Input, Model, layers

    network = backbone.model.get_layer(backbone.network.name)
    images = Input(backbone.model.input_shape[1:])
    return Model(
        images, network(layers.Rescaling(1 / 255)(images), training=False), name=f"{network.name}-unscaled"
    )


def _compare(run: "Run", found: Mapping[str, Mapping[str, float]]) -> None:
    """Add a table of the two ways to scale the pixels, with the features and the results of both."""
    rows: dict[str, tuple[str, Unit]] = {
        "features: mean": ("feature_mean", "loss"),
        "features: standard deviation": ("feature_deviation", "loss"),
        "features: largest": ("feature_largest", "loss"),
        "features that are 0": ("feature_zeros", "share"),
        "single features: deviation, 5th of 100": ("feature_deviation_low", "loss"),
        "single features: deviation, 95th of 100": ("feature_deviation_high", "loss"),
        "training loss, first epoch": ("loss_first", "loss"),
        "training loss, last epoch": ("loss_last", "loss"),
        "dense units that are 0 for every test image": ("silent_units", "share"),
        "training accuracy": ("training_accuracy", "share"),
        "test accuracy": ("test_accuracy", "share"),
    }
    run.table(
        "What goes wrong",
        ["pixels", *found],
        [
            [words, *(value(each[metric], unit) for each in found.values())]
            for words, (metric, unit) in rows.items()
        ],
        "The source document's code feeds the network with pixels from 0 to 1; it was trained with others.",
    )


def _scale(metrics: Metrics) -> str:
    sizes = {name: value(metrics[f"feature_{name}"], "loss") for name in ("mean", "deviation", "largest")}
    low, high = (value(metrics[f"feature_deviation_{end}"], "loss") for end in ("low", "high"))
    return (
        f"The features have a mean of {sizes['mean']}, a standard deviation of {sizes['deviation']} and reach"
        f" {sizes['largest']}; {percent(metrics['feature_zeros'])} of them are 0. The deviations of single"
        f" features go from {low} to {high} (the 5th and the 95th of 100)."
    )


def _unscaled(findings: Findings) -> str:
    metrics = findings.metrics
    pairs = evidence.pairs(findings, HEAD, findings, _UNSCALED, words=("scaled", "unscaled"))
    ours, theirs = metrics["test_accuracy"], metrics["test_accuracy_unscaled"]
    guessing = math.log(metrics["classes"])
    return (
        "The source document's code feeds the network with pixels from 0 to 1, with which it was not trained."
        " Then its features have a standard deviation of"
        f" {value(metrics['feature_deviation_unscaled'], 'loss')} instead of"
        f" {value(metrics['feature_deviation'], 'loss')}, the training loss goes from"
        f" {value(metrics['loss_first_unscaled'], 'loss')} to {value(metrics['loss_last_unscaled'], 'loss')}"
        f" (guessing: {value(guessing, 'loss')}), and {percent(theirs)} of the test images are right:"
        f" {points(theirs - ours)}. {pairs}"
    )
