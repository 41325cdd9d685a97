"""Source document 000, g: VGG16's last block learns as well."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from keraserve_training import settings as declare
from keraserve_training.data import datasets
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.experiments._cifar100 import NETWORK, Training, accuracies, against, per_epoch
from keraserve_training.experiments._cifar100_vgg16 import (
    CLASSIFIER,
    HEAD,
    SIZE,
    TAKES,
    dense_layers,
    features_of,
    figures,
    lagging,
    problems,
)
from keraserve_training.learning.optimizers import optimizer as made
from keraserve_training.number_format import duration, percent, points, value
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings

if TYPE_CHECKING:
    import keras

    from keraserve_training.learning.fit import Trained
    from keraserve_training.pretrained.backbones import Backbone
    from keraserve_training.run import Run

_TOGETHER, _IN_STEPS = "together", "in-steps"
_HEAD_ALONE, _HEAD_KNOWS, _MOMENTS_LEARN = "head-alone", "head-first", "batchnorm-learning"
_FROZEN = "cifar100-vgg16-batchnorm"


@dataclass(frozen=True)
class Settings(Training):
    """Those of block and head together, and of the two steps, the head first."""

    thaw: str = declare.thaw("last-block", "First layer of the network that learns.")
    head_epochs: int = declare.epochs(10, "In two steps: epochs of the head alone.")
    block_epochs: int = declare.epochs(5, "In two steps: epochs of block and head.")
    block_rate: float = declare.rate(1e-4, "In two steps: rate of block and head.", below="learning_rate")


def cifar100_vgg16_finetune() -> Experiment:
    """VGG16's last block and the head of `cifar100-vgg16-batchnorm` learn together.

    Task: tells the hundred fine classes of CIFAR-100 apart. VGG16 up to `block4_pool`, frozen, computes the
        features of every image once; the three convolutions of block 5 start from ImageNet and learn from
        them, with the new head behind them, 15 epochs of the SGD of `cifar100-cnn`.
    Addition: the same in two steps, as the rule of fine-tuning has it: the head alone for 10 epochs, then
        block and head for 5 at a hundredth of the rate.
    Controls, where another network (`--backbone`) has BatchNormalization in its block, as VGG16 has not: the
        document's way again, behind a head that has learnt before; and with the block's BatchNormalization
        learning instead of in inference mode. They show what causes a collapse of the document's way.
    Command: `keraserve-train run cifar100-vgg16-finetune`
    Expected: test accuracy as in `expected_ranges.json` (ranges of full runs); the source document prints
        none.
    Hardware: two processor cores; not measured with VGG16. With `--backbone mobilenet --alpha 0.25` and
        10,000 images 15 epochs took 2 minutes.
    """
    return Experiment(
        name="cifar100-vgg16-finetune",
        source="000",
        title="CIFAR-100: the last block of VGG16 learns as well",
        task=(
            "VGG16 up to its fourth block, frozen, computes the features of every image of CIFAR-100 once."
            " Its last block, which starts as it was trained, and the head of cifar100-vgg16-batchnorm learn"
            " the hundred fine classes from them."
        ),
        data="CIFAR-100",
        weights="imagenet",
        figures=(
            Figure("test_accuracy", "Test accuracy", "not printed"),
            Figure("gap", "Training minus test accuracy", "not printed", "points"),
            Figure("loss_first", "Training loss of the first epoch", "not printed", "loss"),
            Figure("loss_last", "Training loss of the last epoch", "not printed", "loss"),
            Figure("test_accuracy_in_steps", "In two steps: test accuracy", "not done"),
            Figure("test_accuracy_head_first", "Control, head trained first: test accuracy", "not done"),
            Figure(
                "test_accuracy_batchnorm_learning",
                "Control, the block's BatchNormalization learning: test accuracy",
                "not done",
            ),
            Figure("extraction_seconds", "Time to compute all features", "not printed", "seconds"),
            Figure("seconds", "Wall time of the training", "not printed", "seconds"),
        ),
        parameters=15_348_644,
        run=train,
        servables=(
            Servable(
                "cifar100-vgg16-finetune",
                CLASSIFIER,
                "Tells the hundred fine classes of CIFAR-100 apart; block and head learnt together.",
            ),
            Servable(
                "cifar100-vgg16-finetune-in-steps",
                f"{CLASSIFIER}-{_IN_STEPS}",
                "Tells the hundred fine classes of CIFAR-100 apart; the head learnt first, then the block"
                " too.",
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
        settings=Settings,
    )


def train(run: "Run", settings: Settings) -> None:
    """Store the features before the network's last block, train block and head on them, join all."""
    from keraserve_training.learning.fit import Phase

    backbone = run.backbone("vgg16", size=SIZE)
    cut = None if settings.thaw == "last-block" else backbone.before(settings.thaw)
    stem, tail = backbone.split(cut)  # at block4_pool
    data = run.load(datasets.cifar100, size=backbone.size)
    features = features_of(run, stem, data)
    shared: dict[str, Any] = {
        "build": lambda: with_head(tail, len(data.classes), settings),
        "train": features[0],
        "validation": features[1],
        "labels": data.classes,
        "output": "softmax",
        "batch": settings.batch,
    }
    together = run.fit(_TOGETHER, phases=[settings.phase()], reused=block, **shared)
    found = figures(run, together, features, data)
    slow = made(settings.optimizer, settings.block_rate)
    in_steps = run.fit(
        _IN_STEPS,
        phases=[
            replace(settings.phase(), name="head alone", epochs=settings.head_epochs, frozen=block),
            Phase("block too", settings.block_epochs, slow, rate="block_rate"),
        ],
        **shared,
    )
    stepwise = accuracies(run, in_steps, *features, data.test)
    controls = _controls(run, backbone, cut, shared, settings) if _has_moments(tail) else {}
    tested = {
        f"test_accuracy_{name}": run.test(trained, features[1], data.test).accuracy
        for name, trained in controls.items()
    }
    for name, trained in ((CLASSIFIER, together), (f"{CLASSIFIER}-{_IN_STEPS}", in_steps)):
        run.compose(name, stem, trained, images=data.test, features=features[1])
    run.finish(found | {f"{metric}_in_steps": value for metric, value in stepwise.items()} | tested)


def _controls(
    run: "Run", backbone: "Backbone", cut: str | None, shared: Mapping[str, Any], settings: Settings
) -> "dict[str, Trained]":
    """The document's way with one change each: a head that has learnt before, and moments that learn."""
    from keraserve_training.learning import rules

    phases = [settings.phase()]
    before = replace(settings.phase(), name="head alone", epochs=settings.head_epochs, frozen=block)
    alone = run.fit(_HEAD_ALONE, phases=[before], **shared)
    # Not `after=alone`: the rule of fine-tuning forbids the same rate, whose effect is measured here.
    knows = run.fit(
        _HEAD_KNOWS, phases=phases, reused=block, **{**shared, "build": lambda: rules.clone(alone.model)}
    )
    _, learning = backbone.split(cut, moments_learn=True)
    classes = len(shared["labels"])
    moments = run.fit(
        _MOMENTS_LEARN, phases=phases, **{**shared, "build": lambda: with_head(learning, classes, settings)}
    )
    return {"head_first": knows, "batchnorm_learning": moments}


def _has_moments(tail: "keras.Model") -> bool:
    from keras import layers

    inside: Any = tail._flatten_layers(include_self=False)
    return any(isinstance(layer, layers.BatchNormalization) for layer in inside)


def block(model: "keras.Model") -> "list[keras.Layer]":
    """The layers that come from the pre-trained network."""
    return model.layers[:1]


def learnt(findings: Findings) -> list[str]:
    """Say how good it is beside the frozen network, the two steps and the controls, and how long it took."""
    metrics, trained = findings.metrics, findings.networks[_TOGETHER]
    (phase,) = trained["phases"]
    return [
        *findings.caveats,
        f"With the last block learning as well, {evidence.accuracy(trained['test'])} of the test images are"
        f" right after {trained['epochs']} epochs; {evidence.guessing(trained['test'], trained['labels'])}."
        f" {evidence.ONE_RUN}",
        against(findings, _TOGETHER, _FROZEN, HEAD, "the same head on the whole network, frozen"),
        against(findings, _TOGETHER, "cifar100-cnn", NETWORK, "the network from scratch"),
        *_convergence(findings),
        *problems(findings, _TOGETHER),
        *lagging(findings, _TOGETHER),
        _steps(findings),
        *_controlled(findings),
        f"{phase['trainable_parameters']:,} parameters learn. That took {duration(metrics['seconds'])},"
        f" {per_epoch(findings, _TOGETHER)} an epoch{_head_alone(findings)}; the frozen part's features of"
        f" all {metrics['images']:,.0f} images were computed once, in"
        f" {duration(metrics['extraction_seconds'])}.{evidence.meanwhile(trained)}",
    ]


def with_head(tail: "keras.Model", classes: int, settings: Training) -> "keras.Model":
    """The document's head behind a clone of the network's last block, which itself does not change."""
    from keras import Input, Sequential

    from keraserve_training.learning import rules

    return Sequential(
        [Input(tail.input_shape[1:]), rules.clone(tail), *dense_layers(classes, settings, normalised=True)]
    )


def _convergence(findings: Findings) -> list[str]:
    frozen = findings.of(_FROZEN)
    if frozen is None:
        return []
    metrics, theirs = findings.metrics, frozen.metrics
    first = metrics["test_accuracy_first"] - theirs["test_accuracy_first"]
    return [
        f"After the first epoch {percent(metrics['test_accuracy_first'])} of the test images"
        f" are right instead of {percent(theirs['test_accuracy_first'])} with the network frozen"
        f" ({points(first)}), at a training loss of {value(metrics['loss_first'], 'loss')} instead of"
        f" {value(theirs['loss_first'], 'loss')}."
    ]


def _steps(findings: Findings) -> str:
    metrics = findings.metrics
    gain = metrics["test_accuracy_in_steps"] - metrics["test_accuracy"]
    alone, both = findings.networks[_IN_STEPS]["phases"]
    before = findings.history(_IN_STEPS)[alone["epochs"] - 1]["val_accuracy"]
    pairs = evidence.pairs(findings, _TOGETHER, findings, _IN_STEPS, words=("together", "in two steps"))
    return (
        f"In the source document block and head learn together, at one rate. In two steps, the head alone for"
        f" {alone['epochs']} epochs and then both for {both['epochs']} at {both['learning_rate']:.2g}"
        f" instead of {alone['learning_rate']:.2g}, the test accuracy is {percent(before)} and then"
        f" {percent(metrics['test_accuracy_in_steps'])} ({points(gain)}). {pairs}"
        " Both models are exported; that of the two steps has a name that ends in in-steps."
    )


def _controlled(findings: Findings) -> list[str]:
    """What the controls show. A cause is named only where that change alone changed the outcome."""
    networks = findings.networks
    if _MOMENTS_LEARN not in networks:
        return []
    tests = [networks[name]["test"] for name in (_TOGETHER, _HEAD_KNOWS, _MOMENTS_LEARN)]
    fallen, knows, moments = (evidence.at_chance(test) for test in tests)
    figures = (
        f"Controls: behind a head that learnt alone for {networks[_HEAD_ALONE]['epochs']} epochs before,"
        f" block and head at the document's rate get {evidence.accuracy(tests[1])} right; with the block's"
        f" BatchNormalization learning, as in the network's own training, {evidence.accuracy(tests[2])}."
        " VGG16's blocks have no BatchNormalization, so none of this says how VGG16 does."
    )
    if not fallen:
        return [figures]
    head, batchnorm = ("also" if chance else "not" for chance in (knows, moments))
    return [
        f"{figures} So in this run the document's way ends at chance level, {head} behind a head that has"
        f" learnt before, {batchnorm} with the block's BatchNormalization learning."
    ]


def _head_alone(findings: Findings) -> str:
    """The time of an epoch of the head alone, and the ratio, where the times can be compared."""
    frozen = findings.of(_FROZEN)
    if frozen is None:
        return ""
    ours, theirs = findings.networks[_TOGETHER], frozen.networks[HEAD]
    if not evidence.quiet(ours, theirs):
        return ""
    times = (ours["seconds"] / ours["epochs"]) / (theirs["seconds"] / theirs["epochs"])
    return f", {times:.1f} times as long as the head alone ({per_epoch(frozen, HEAD)})"
