"""Source document 000, g: VGG16's last block learns as well."""

from typing import TYPE_CHECKING, Any

from keraserve_training.data import datasets
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.experiments.cifar100_cnn import BATCH, accuracies, against, per_epoch, sgd
from keraserve_training.experiments.cifar100_vgg16_batchnorm import lagging
from keraserve_training.experiments.cifar100_vgg16_dense import (
    CLASSIFIER,
    HEAD,
    SIZE,
    TAKES,
    dense_layers,
    figures,
    seen,
    troubles,
)
from keraserve_training.findings import Findings
from keraserve_training.reporting.wording import duration, percent, points, value

if TYPE_CHECKING:
    import keras

    from keraserve_training.run import Run

_EPOCHS = 15
_HEAD_FIRST, _BLOCK_THEN, _SLOW = 10, 5, 1e-4  # epochs of both steps, and the rate of the second
_TOGETHER, _IN_STEPS = "together", "in-steps"
_FROZEN = "cifar100-vgg16-batchnorm"


def cifar100_vgg16_finetune() -> Experiment:
    """VGG16's last block and the head of `cifar100-vgg16-batchnorm` learn together.

    Task: tells the hundred fine classes of CIFAR-100 apart. VGG16 up to `block4_pool`, frozen, looks once at
        every picture; the three convolutions of block 5 start from ImageNet and learn from what it saw, with
        the new head behind them, 15 epochs of the SGD of `cifar100-cnn`.
    Addition: the same in two steps, as the rule of fine-tuning has it: the head alone for 10 epochs, then
        block and head for 5 at a hundredth of the rate. Other networks than VGG16 (`--backbone`) may need
        that: their BatchNormalization stays in inference mode, and the document's rate is too high for them.
    Command: `keraserve-train run cifar100-vgg16-finetune`
    Expected: test accuracy as in `measured.json`, which has the ranges of full runs; the source document
        prints none.
    Hardware: two processor cores; about 2 hours (with `--backbone mobilenet --alpha 0.25`: 15 minutes).
    """
    return Experiment(
        name="cifar100-vgg16-finetune",
        source="000",
        title="CIFAR-100: the last block of VGG16 learns as well",
        task=(
            "VGG16 up to its fourth block, frozen, looks once at every picture of CIFAR-100. Its last"
            " block, which starts as it was trained, and the head of cifar100-vgg16-batchnorm learn the"
            " hundred fine classes from what it saw."
        ),
        data="CIFAR-100",
        weights="imagenet",
        minutes=120,
        figures=(
            Figure("test_accuracy", "Test accuracy", "not printed"),
            Figure("gap", "Training minus test accuracy", "not printed", "points"),
            Figure("loss_first", "Training loss of the first epoch", "not printed", "loss"),
            Figure("loss_last", "Training loss of the last epoch", "not printed", "loss"),
            Figure("test_accuracy_in_steps", "In two steps: test accuracy", "not done"),
            Figure("extraction_seconds", "Time to look at all pictures once", "not printed", "seconds"),
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
        takes=TAKES,
    )


def train(run: "Run") -> None:
    """Store what the network sees before its last block, train block and head on that, put all together."""
    from keraserve_training.learning.fit import Phase

    backbone = run.backbone("vgg16", size=SIZE)
    stem, tail = backbone.split()  # at block4_pool
    data = run.load(datasets.cifar100, size=backbone.size)
    features = seen(run, stem, data)
    shared: dict[str, Any] = {
        "build": lambda: with_head(tail, len(data.classes)),
        "train": features[0],
        "validation": features[1],
        "labels": data.classes,
        "output": "softmax",
        "batch": BATCH,
    }
    together = run.fit(_TOGETHER, phases=[Phase("trained", _EPOCHS, sgd())], reused=block, **shared)
    found = figures(run, together, features, data)
    in_steps = run.fit(
        _IN_STEPS,
        phases=[
            Phase("head alone", _HEAD_FIRST, sgd(), frozen=block),
            Phase("block too", _BLOCK_THEN, sgd(_SLOW)),
        ],
        **shared,
    )
    stepwise = accuracies(run, in_steps, *features, data.test)
    for name, trained in ((CLASSIFIER, together), (f"{CLASSIFIER}-{_IN_STEPS}", in_steps)):
        run.compose(name, stem, trained, pictures=data.test, features=features[1])
    run.finish(found | {f"{metric}_in_steps": value for metric, value in stepwise.items()})


def block(model: "keras.Model") -> "list[keras.Layer]":
    """The layers that come from the pre-trained network."""
    return model.layers[:1]


def learnt(findings: Findings) -> list[str]:
    """Say how well it does, and how convergence and time compare with the frozen network's."""
    metrics, trained = findings.metrics, findings.networks[_TOGETHER]
    (phase,) = trained["phases"]
    frozen = against(findings, _FROZEN, "the same head on the whole network, frozen")
    nothing = against(findings, "cifar100-cnn", "the network from nothing")
    return [
        *findings.caveats,
        f"With the last block learning as well, {percent(metrics['test_accuracy'])} of the test pictures are"
        f" right after {trained['epochs']} epochs. {frozen} {nothing}",
        *_convergence(findings),
        *troubles(findings, _TOGETHER),
        *lagging(findings, _TOGETHER),
        _steps(findings),
        f"{phase['trainable_parameters']:,} parameters learn. That took {duration(metrics['seconds'])},"
        f" {per_epoch(findings, _TOGETHER)} an epoch{_ratio(findings)}; what the frozen part sees in all"
        f" {metrics['pictures']:,.0f} pictures was computed once, in"
        f" {duration(metrics['extraction_seconds'])}.",
    ]


def with_head(tail: "keras.Model", classes: int) -> "keras.Model":
    """Put the document's head behind a clone of the network's last block; the original stays as it is."""
    from keras import Input, Sequential

    from keraserve_training.learning import rules

    return Sequential(
        [Input(tail.input_shape[1:]), rules.clone(tail), *dense_layers(classes, normalised=True)]
    )


def _convergence(findings: Findings) -> list[str]:
    frozen = findings.of(_FROZEN)
    if frozen is None:
        return []
    metrics, theirs = findings.metrics, frozen.metrics
    first = metrics["test_accuracy_first"] - theirs["test_accuracy_first"]
    verdict = (
        "the block gains from the first steps on"
        if first > 0
        else "the first steps, while the head knows nothing yet, do the block's weights no good"
    )
    return [
        f"Convergence: after the first epoch {percent(metrics['test_accuracy_first'])} of the test pictures"
        f" are right instead of {percent(theirs['test_accuracy_first'])} with the network frozen"
        f" ({points(first)}), at a training loss of {value(metrics['loss_first'], 'loss')} instead of"
        f" {value(theirs['loss_first'], 'loss')}: {verdict}."
    ]


def _steps(findings: Findings) -> str:
    metrics = findings.metrics
    gain = metrics["test_accuracy_in_steps"] - metrics["test_accuracy"]
    alone, both = findings.networks[_IN_STEPS]["phases"]
    before = findings.history(_IN_STEPS)[alone["epochs"] - 1]["val_accuracy"]
    verdict = "better than" if gain > 0 else "worse than" if gain < 0 else "the same as"
    return (
        f"In the source document block and head learn together, at one rate. In two steps, the head alone for"
        f" {alone['epochs']} epochs and then both for {both['epochs']} at {both['learning_rate']:.2g}"
        f" instead of {alone['learning_rate']:.2g}, the test accuracy is {percent(before)} and then"
        f" {percent(metrics['test_accuracy_in_steps'])}: {verdict} together ({points(gain)})."
        " Both models are exported; that of the two steps has a name that ends in in-steps."
    )


def _ratio(findings: Findings) -> str:
    frozen = findings.of(_FROZEN)
    if frozen is None:
        return ""
    ours, theirs = findings.networks[_TOGETHER], frozen.networks[HEAD]
    times = (ours["seconds"] / ours["epochs"]) / (theirs["seconds"] / theirs["epochs"])
    return f", {times:.1f} times as long as the head alone ({per_epoch(frozen, HEAD)})"
