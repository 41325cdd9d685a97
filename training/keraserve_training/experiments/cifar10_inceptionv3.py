"""Source document 001: CIFAR-10 on the stored features of InceptionV3."""

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from keraserve_training import settings as declare
from keraserve_training.data import datasets
from keraserve_training.data.examples import split
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.learning.optimizers import optimizer as made
from keraserve_training.number_format import duration, percent, points
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings
from keraserve_training.settings import Settings

if TYPE_CHECKING:
    import keras

    from keraserve_training.pretrained.standardising import Spread
    from keraserve_training.run import Run

_SOURCE_ACCURACY = 0.8246
_SOURCE_PARAMETERS = 22_623_094  # InceptionV3 without top, and the head
_ASIDE = 0.2
HEAD, RELU_HEAD, FROZEN, CLASSIFIER = "head", "head-relu", "frozen", "classifier"


@dataclass(frozen=True)
class Head(Settings):
    """Those of the head, of the same head with ReLU, and of fine-tuning."""

    epochs: int = declare.epochs(50, "Epochs of the head.")
    learning_rate: float = declare.rate(1e-3, "Learning rate of the head.")
    optimizer: str = declare.optimizer("rmsprop", "Optimizer of the head, with and without ReLU.")
    batch: int = declare.batch(50)
    filters: int = declare.units(100, "Filters of the head's convolution.")
    dropout: float = declare.dropout(0.4, "Share of its values that is dropped.")
    last_dropout: float = declare.dropout(0.3, "Share that is dropped before the last layer.")
    relu_epochs: int = declare.epochs(12, "Epochs of the head with ReLU.")
    relu_rate: float = declare.rate(1e-3, "Rate of the head with ReLU, which falls to 0.")
    tuning_epochs: int = declare.epochs(6, "Epochs of fine-tuning.", option="fine_tune")
    tuning_rate: float = declare.rate(
        1e-4, "Rate of fine-tuning, which falls to 0.", below="learning_rate", option="fine_tune"
    )
    tuning_optimizer: str = declare.optimizer("adam", "Optimizer of fine-tuning.", option="fine_tune")
    tuning_batch: int = declare.batch(64, "Images a step of fine-tuning.", option="fine_tune")
    thaw: str = declare.thaw(
        declare.ALL, "First layer of the network that is fine-tuned.", option="fine_tune"
    )


def cifar10_inceptionv3() -> Experiment:
    """A small head on InceptionV3's features of CIFAR-10, computed once and stored.

    Task: tells the ten classes of CIFAR-10 apart. Images are enlarged to 139 by 139 pixels; the frozen
        network computes the features of each once; a head of one convolution learns from them, 50 epochs, a
        fifth of the images for validation; the weights with the lowest validation loss are kept.
    Ours: the document's convolution has no activation, so its head is linear in the features. The same head
        with ReLU learns from the same features, 12 epochs, at a rate that falls to 0.
    Option: `--fine-tune` goes on with the whole network. That stage is ours, the source document has none:
        Adam at a rate that falls from 1e-4 to 0, 6 epochs, images flipped at random, BatchNormalization in
        inference mode.
    Control: with `--weights random` the head gets the features standardised, since those of random weights
        may hardly differ.
    Command: `keraserve-train run cifar10-inceptionv3`
    Expected: test accuracy as in `expected_ranges.json` (ranges of full runs); the source document reports
        82.46 %.
    Hardware: two processor cores; not measured with InceptionV3. With `--backbone mobilenet --alpha 0.25
        --image-size 160` the features took 95 seconds, the head 10 minutes.
    """
    return Experiment(
        name="cifar10-inceptionv3",
        source="001",
        title="CIFAR-10: a small head on the stored features of InceptionV3",
        task=(
            "InceptionV3, frozen, computes the features of every image of CIFAR-10 once, enlarged to 139 by"
            " 139 pixels; a head of one convolution learns the ten classes from them. With --fine-tune the"
            " whole network then goes on learning, which the source document does not do."
        ),
        data="CIFAR-10",
        weights="imagenet",
        figures=(
            Figure("test_accuracy", "Test accuracy, frozen network", percent(_SOURCE_ACCURACY)),
            Figure("test_accuracy_relu", "Test accuracy, frozen, head with ReLU", "not done"),
            Figure("test_accuracy_fine_tuned", "Test accuracy, fine-tuned (--fine-tune)", "not done"),
            Figure("validation_accuracy", "Validation accuracy", "80.93 % after 3 epochs"),
            Figure("extraction_seconds", "Time to compute all features", "not printed", "seconds"),
            Figure("epoch_seconds", "Time of an epoch on stored features", "20 to 47 s", "seconds"),
            Figure("feature_bytes", "Size of the stored features", "not printed", "bytes"),
        ),
        parameters=_SOURCE_PARAMETERS,
        run=train,
        servables=(Servable("cifar10-inceptionv3", CLASSIFIER, "Tells the ten classes of CIFAR-10 apart."),),
        learnt=learnt,
        phrases={
            "InceptionV3": "network",
            "139 by 139 pixels": "size",
            "Tells the ten classes of CIFAR-10 apart": "classes",
            "the ten classes": "classes",
            "CIFAR-10": "data",
        },
        takes=(
            "data",
            "backbone",
            "alpha",
            "weights",
            "image_size",
            "fine_tune",
            "mixed_precision",
            "strategy",
        ),
        settings=Head,
    )


def train(run: "Run", settings: Head) -> None:
    """Store the features, train the head on them, join both; with `--fine-tune`, fine-tune the whole."""
    from keras.optimizers.schedules import CosineDecay

    from keraserve_training.learning import rules
    from keraserve_training.learning.feed import Feed
    from keraserve_training.learning.fit import Phase
    from keraserve_training.pretrained import standardising

    backbone = run.backbone("inceptionv3", size=139)
    backbone.check_thaw(settings.thaw)
    data = run.load(datasets.cifar10).sized(backbone.size)
    features = run.features("train", backbone.model, data.train)
    test_features = run.features("test", backbone.model, data.test)
    learning, aside = split(features, _ASIDE, run.seed)
    # The features of random weights may hardly differ: as a control, the head gets them standardised.
    random = backbone.weights["kind"] == "random"
    spread = standardising.spread(features) if random else None
    classifier: dict[str, Any] = {"labels": data.classes, "output": "softmax", "best": True}
    on_features = {**classifier, "train": learning, "validation": aside, "batch": settings.batch}
    head = run.fit(
        HEAD,
        build=lambda: _head(features.shape, len(data.classes), settings, spread),
        phases=[Phase("frozen", settings.epochs, made(settings.optimizer, settings.learning_rate))],
        **on_features,
    )
    frozen = run.test(head, test_features, data.test)
    steps = run.profile.epochs(settings.relu_epochs) * Feed(learning, settings.batch).steps
    falling = made(settings.optimizer, CosineDecay(settings.relu_rate, steps))
    relu_head = run.fit(
        RELU_HEAD,
        build=lambda: _head(features.shape, len(data.classes), settings, spread, activation="relu"),
        phases=[Phase("frozen", settings.relu_epochs, falling, rate="relu_rate")],
        **on_features,
    )
    whole = run.compose(
        FROZEN if run.options.fine_tune else CLASSIFIER,
        backbone.model,
        head,
        images=data.test,
        features=test_features,
    )
    metrics = {
        "test_accuracy": frozen.accuracy,
        "test_accuracy_relu": run.test(relu_head, test_features, data.test).accuracy,
        "validation_accuracy": head.best_row["val_accuracy"],
        "classes": len(data.classes),
        "extraction_seconds": features.seconds + test_features.seconds,
        "extraction_seconds_training": features.seconds,
        "feature_bytes": features.bytes + test_features.bytes,
        "features_standardised": float(random),
        "epoch_seconds": median(row["seconds"] for row in head.rows),
    }
    if run.options.fine_tune:
        images, images_aside = split(data.train, _ASIDE, run.seed)
        steps = run.profile.epochs(settings.tuning_epochs) * Feed(images, settings.tuning_batch).steps
        falling = made(settings.tuning_optimizer, CosineDecay(settings.tuning_rate, steps))
        tuned = run.fit(
            CLASSIFIER,
            build=lambda: _augmented(whole.model),
            train=images,
            validation=images_aside,
            phases=[
                Phase(
                    "fine-tuned",
                    settings.tuning_epochs,
                    falling,
                    frozen=lambda model: rules.before(model, settings.thaw),
                    rate="tuning_rate",
                )
            ],
            batch=settings.tuning_batch,
            after=whole,
            reused=lambda model: model.layers[-1:],
            **classifier,
        )
        metrics["test_accuracy_fine_tuned"] = run.test(tuned, data.test).accuracy
        run.explain(CLASSIFIER, data.test, {"before": whole, "after": tuned})
        metrics["gain_of_fine_tuning"] = metrics["test_accuracy_fine_tuned"] - frozen.accuracy
    run.finish(metrics)


def learnt(findings: Findings) -> list[str]:
    """Say how good the head is beside the source's, what storing features saved, what fine-tuning gained."""
    metrics, networks = findings.metrics, findings.networks
    whole, head = networks[FROZEN if FROZEN in networks else CLASSIFIER], networks[HEAD]
    backbone = whole["composed_of"][0]
    frozen, once = metrics["test_accuracy"], metrics["extraction_seconds"]
    again = metrics["extraction_seconds_training"] * head["epochs"]
    sentences = [
        *findings.caveats,
        f"On the features of the frozen {backbone}, the head gets {evidence.accuracy(head['test'])} of the"
        f" test images right, {points(frozen - _SOURCE_ACCURACY)} against the source document's"
        f" {percent(_SOURCE_ACCURACY)} (InceptionV3, all of CIFAR-10);"
        f" {evidence.guessing(head['test'], head['labels'])}. {evidence.ONE_RUN}",
        "That head has no activation: it is linear in the features. With ReLU after its convolution"
        f" (ours: {networks[RELU_HEAD]['epochs']} epochs at a falling rate) it gets"
        f" {percent(metrics['test_accuracy_relu'])} right"
        f" ({points(metrics['test_accuracy_relu'] - frozen)}), from the same features."
        f" {evidence.pairs(findings, HEAD, findings, RELU_HEAD, words=('without ReLU', 'with ReLU'))}",
        f"Computing all features once took {duration(once)}; after that, {head['epochs']} epochs"
        f" of the head took {duration(head['seconds'])}. Computing them in every epoch, for all but the"
        f" test images, would have taken {duration(again)} at that pace.{evidence.meanwhile(head)}"
        f" The validation loss was lowest after epoch {head['best_epoch']:.0f}, whose weights were kept.",
    ]
    if "test_accuracy_fine_tuned" not in metrics:
        return sentences
    tuned = metrics["test_accuracy_fine_tuned"]
    smaller = _SOURCE_PARAMETERS / whole["parameters"]
    return [
        *sentences,
        "Fine-tuned as a whole, which the source document does not do, the network gets"
        f" {percent(tuned)} right ({points(tuned - frozen)}; against the source document"
        f" {points(tuned - _SOURCE_ACCURACY)})."
        f" {evidence.pairs(findings, HEAD, findings, CLASSIFIER, words=('frozen', 'fine-tuned'))} That took"
        f" {duration(networks[CLASSIFIER]['seconds'])} more. It has {whole['parameters']:,}"
        f" parameters; InceptionV3 with its head has {_SOURCE_PARAMETERS:,}, {smaller:,.1f} times as many.",
    ]


def _head(
    shape: tuple[int, ...],
    classes: int,
    settings: Head,
    spread: "Spread | None" = None,
    activation: str | None = None,
) -> "keras.Model":
    """The head: features float32 [N, h, w, c], standardised by `spread`, to class probabilities."""
    from keras import Input, Sequential, layers

    from keraserve_training.pretrained import standardising

    return Sequential(
        [
            Input(shape),
            *([standardising.layer(spread)] if spread else []),
            # Of the smallest images some networks leave 1 by 1 features.
            layers.Conv2D(settings.filters, min(2, *shape[:2]), activation=activation),
            layers.Dropout(settings.dropout),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(settings.last_dropout),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def _augmented(model: "keras.Model") -> "keras.Model":
    """A copy of `model` behind random flips from left to right, which act in training only."""
    from keras import Input, Model, layers

    from keraserve_training.learning import rules

    inputs = Input(model.input_shape[1:])
    return Model(inputs, rules.clone(model)(layers.RandomFlip("horizontal")(inputs)))
