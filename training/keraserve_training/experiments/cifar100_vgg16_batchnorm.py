"""Source document 000, f: the head on VGG16's features again, with BatchNormalization."""

from typing import TYPE_CHECKING

from keraserve_training.data import datasets
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.experiments._cifar100 import NETWORK, Training, against, per_epoch
from keraserve_training.experiments._cifar100_vgg16 import (
    CLASSIFIER,
    HEAD,
    SIZE,
    TAKES,
    features_of,
    figures,
    lagging,
    problems,
    train_head,
)
from keraserve_training.number_format import duration, percent, points, value
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings

if TYPE_CHECKING:
    from keraserve_training.run import Run

_BEFORE = "cifar100-vgg16-dense"


def cifar100_vgg16_batchnorm() -> Experiment:
    """The head of `cifar100-vgg16-dense` with BatchNormalization before and after its dense layer.

    Task: tells the hundred fine classes of CIFAR-100 apart, from the same stored features of VGG16, 15 epochs
        of the SGD of `cifar100-cnn`.
    Command: `keraserve-train run cifar100-vgg16-batchnorm`
    Expected: test accuracy as in `expected_ranges.json` (ranges of full runs); the source document prints
        none.
    Hardware: two processor cores; not measured with VGG16. Most of the time goes to the features, which are
        taken from `cifar100-vgg16-dense` where that has run.
    """
    return Experiment(
        name="cifar100-vgg16-batchnorm",
        source="000",
        title="CIFAR-100: the head on VGG16's features, with BatchNormalization",
        task=(
            "The dense head of cifar100-vgg16-dense on the same stored features, with BatchNormalization"
            " before and after its dense layer."
        ),
        data="CIFAR-100",
        weights="imagenet",
        figures=(
            Figure("test_accuracy", "Test accuracy", "“this improves on e)”, not printed"),
            Figure("gap", "Training minus test accuracy", "not printed", "points"),
            Figure("loss_first", "Training loss of the first epoch", "not printed", "loss"),
            Figure("loss_last", "Training loss of the last epoch", "not printed", "loss"),
            Figure("silent_units", "Dense units that are 0 for every test image", "not printed"),
            Figure("extraction_seconds", "Time to compute all features", "not printed", "seconds"),
            Figure("seconds", "Wall time of the head's training", "not printed", "seconds"),
        ),
        parameters=15_348_644,
        run=train,
        servables=(
            Servable(
                "cifar100-vgg16-batchnorm", CLASSIFIER, "Tells the hundred fine classes of CIFAR-100 apart."
            ),
        ),
        learnt=learnt,
        phrases={
            "VGG16": "network",
            "Tells the hundred fine classes of CIFAR-100 apart": "classes",
            "CIFAR-100": "data",
            "the hundred fine classes": "classes",
        },
        takes=TAKES,
        settings=Training,
    )


def train(run: "Run", settings: Training) -> None:
    """Compute the features, or read stored ones, train the head on them, join both."""
    backbone = run.backbone("vgg16", size=SIZE)
    data = run.load(datasets.cifar100, size=backbone.size)
    features = features_of(run, backbone.model, data)
    head = train_head(run, HEAD, features, data, settings, normalised=True)
    found = figures(run, head, features, data)
    run.compose(CLASSIFIER, backbone.model, head, images=data.test, features=features[1])
    run.finish(found)


def learnt(findings: Findings) -> list[str]:
    """Say how good the head is, what differs from the one without, and how long it takes."""
    head = findings.networks[HEAD]
    return [
        *findings.caveats,
        f"With BatchNormalization the head gets {evidence.accuracy(head['test'])} of the test images right"
        f" after {head['epochs']} epochs; {evidence.guessing(head['test'], head['labels'])}."
        f" {evidence.ONE_RUN}",
        against(findings, HEAD, _BEFORE, HEAD, "the same head without"),
        against(findings, HEAD, "cifar100-cnn", NETWORK, "the network from scratch"),
        *_differences(findings),
        *problems(findings),
        *lagging(findings, HEAD),
        _time(findings),
    ]


def _differences(findings: Findings) -> list[str]:
    """What differs from the head without: its inputs, its first epoch, its units, its gap."""
    metrics, before = findings.metrics, findings.of(_BEFORE)
    if before is None:
        return []
    theirs = before.metrics
    low, high = (value(metrics[f"feature_deviation_{end}"], "loss") for end in ("low", "high"))
    ours = findings.history(HEAD)
    common = min(len(ours), len(before.history(HEAD)))  # the two learn for 10 and for 15 epochs
    return [
        "What is different: the dense layer gets features whose standard deviations go from"
        f" {low} to {high}; BatchNormalization gives every one of them a mean of 0 and a deviation of 1, and"
        " so it does with what the dense layer gives.",
        f"The first epoch ends at a training loss of {value(metrics['loss_first'], 'loss')} instead of"
        f" {value(theirs['loss_first'], 'loss')}, with {percent(metrics['test_accuracy_first'])} of the test"
        f" images right instead of {percent(theirs['test_accuracy_first'])}. After {common} epochs it is"
        f" {percent(ours[common - 1]['val_accuracy'])} instead of"
        f" {percent(before.history(HEAD)[common - 1]['val_accuracy'])}.",
        f"Of the dense layer's units {percent(metrics['silent_units'])} are 0 for every test image instead"
        f" of {percent(theirs['silent_units'])}. Training minus test accuracy is {points(metrics['gap'])}"
        f" instead of {points(theirs['gap'])}.",
    ]


def _time(findings: Findings) -> str:
    metrics = findings.metrics
    sentence = (
        f"Its training took {duration(metrics['seconds'])}, {per_epoch(findings, HEAD)} an"
        f" epoch; the features of all {metrics['images']:,.0f} images, computed once,"
        f" {duration(metrics['extraction_seconds'])}"
    )
    convolutional = findings.of("cifar100-cnn")
    if convolutional is None or not evidence.quiet(findings.networks[HEAD], convolutional.networks[NETWORK]):
        return f"{sentence}.{evidence.meanwhile(findings.networks[HEAD])}"
    theirs = per_epoch(convolutional, NETWORK)
    return f"{sentence}. The network from scratch takes {theirs} an epoch."
