"""A user's own images: a linear layer on stored features, then fine-tuning; the better one is exported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keraserve_training import settings as declare
from keraserve_training.data import datasets
from keraserve_training.data.examples import limited, split
from keraserve_training.errors import OptionError
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.learning import outputs
from keraserve_training.learning.outputs import Output
from keraserve_training.number_format import duration, percent
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings
from keraserve_training.settings import Settings

if TYPE_CHECKING:
    import keras

    from keraserve_training.pretrained.standardising import Spread
    from keraserve_training.run import Run

LINEAR, FROZEN, FINE_TUNED, EXPORTED = "linear", "frozen", "fine-tuned", "exported"
SIZE = 224
_ASIDE = 0.2  # of the training images
_PENALTY = 50.0  # of the linear layer's squared weights, over the number of images: as if C = 0.01
_AVERAGED = 0.99  # of the moving average of the weights, what stays in each step
_NONE = ""  # of no document


@dataclass(frozen=True)
class Recipe(Settings):
    """Those of the linear layer, and of fine-tuning."""

    epochs: int = declare.epochs(30, "Epochs of the linear layer.")
    learning_rate: float = declare.rate(3e-3, "Learning rate of the linear layer.")
    tuning_epochs: int = declare.epochs(10, "Epochs of fine-tuning.")
    tuning_rate: float = declare.rate(1e-3, "Highest rate of fine-tuning.", below="learning_rate")
    weight_decay: float = declare.setting(0.05, "Weight decay of fine-tuning.", low=0, high=1)
    batch: int = declare.batch(32)
    images: int = declare.setting(
        1_000_000, "Images to learn from, at most; every class in its share.", low=4, high=1_000_000
    )


def own_images() -> Experiment:
    """The best of two models of a user's own images, chosen on images that are set aside.

    Task: tells the user's classes apart. A pre-trained network, frozen, computes the features of every image
        once; a linear layer learns from them. Then the whole network is fine-tuned from there, its
        BatchNormalization, too, with flips and crops, AdamW at a rate that rises for an epoch and then falls
        as a cosine, and averaged weights. Of both, the one that is right more often on the validation images,
        a fifth of the training images, is exported; the simpler one if they are equal.
    Command: `keraserve-train run own-images --data FOLDER`
    Expected: nothing is known of other people's images; the report says what always naming the largest class
        and the linear layer get.
    Hardware: two processor cores; minutes (`--backbone mobilenet --alpha 0.25`, two thousand images).
    """
    return Experiment(
        name="own-images",
        source="own",
        title="Own images: a linear layer on stored features, then fine-tuning",
        task=(
            "MobileNet, frozen, computes the features of every image once, and a linear layer learns to tell"
            " the classes apart. Then the whole network is fine-tuned. The better of both is exported."
        ),
        data="your own images",
        weights="imagenet",
        figures=(
            Figure("test_accuracy", "Test accuracy of the exported model", _NONE),
            Figure("test_accuracy_linear", "Test accuracy of the linear layer", _NONE),
            Figure("test_accuracy_fine_tuned", "Test accuracy after fine-tuning", _NONE),
            Figure("validation_accuracy_linear", "Validation accuracy of the linear layer", _NONE),
            Figure("validation_accuracy_fine_tuned", "Validation accuracy after fine-tuning", _NONE),
            Figure("largest_class", "Share of the largest class of the test images", _NONE),
        ),
        parameters=3_230_914,
        run=train,
        servables=(Servable("own-images", EXPORTED, "Tells the classes apart."),),
        learnt=learnt,
        phrases={
            "MobileNet": "network",
            "tell the classes apart": "classes",
            "Tells the classes apart": "classes",
            "Own images": "data",
        },
        takes=("data", "backbone", "alpha", "weights", "image_size", "strategy"),
        settings=Recipe,
    )


def train(run: "Run", settings: Recipe) -> None:
    """Train the linear layer on stored features, fine-tune a copy of the whole, keep the better one."""
    if run.options.data is None and not run.profile.procedural:
        raise OptionError("own-images learns from your own images: name their folder with --data.")
    from keras import optimizers

    from keraserve_training.learning import augmentation, rules
    from keraserve_training.learning.feed import Feed
    from keraserve_training.learning.fit import Phase
    from keraserve_training.pretrained import standardising

    backbone = run.backbone("mobilenet", size=SIZE)
    data = run.load(datasets.cats_dogs).sized(backbone.size)
    stem = _pooled(backbone.model)
    features = run.features("train", stem, data.train)
    test_features = run.features("test", stem, data.test)
    learning, aside = split(limited(features, settings.images, run.seed), _ASIDE, run.seed)
    units, output = outputs.classifier(len(data.classes))
    spread = standardising.spread(learning)
    classifier: dict[str, Any] = {
        "labels": data.classes,
        "output": output,
        "best": True,
        "calibrated": True,
        "batch": settings.batch,
    }
    linear = run.fit(
        LINEAR,
        build=lambda: _linear(features.shape, units, output, spread, _PENALTY / len(learning)),
        train=learning,
        validation=aside,
        phases=[Phase("frozen", settings.epochs, lambda: optimizers.Adam(settings.learning_rate))],
        **classifier,
    )
    before = run.test(linear, test_features, data.test)
    whole = run.compose(FROZEN, stem, linear, images=data.test, features=test_features)

    images, images_aside = split(limited(data.train, settings.images, run.seed), _ASIDE, run.seed)
    steps = Feed(images, settings.batch).steps
    # In its first epoch the rate rises: the first steps of AdamW are as large as it, whatever the gradient.
    falling = max(1, run.profile.epochs(settings.tuning_epochs) - 1) * steps
    highest = settings.tuning_rate
    rate: Any = optimizers.schedules.CosineDecay(0.0, falling, warmup_target=highest, warmup_steps=steps)
    tuned = run.fit(
        FINE_TUNED,
        build=lambda: rules.clone(whole.model),
        train=images,
        validation=images_aside,
        phases=[
            Phase(
                "fine-tuned",
                settings.tuning_epochs,
                lambda: optimizers.AdamW(
                    rate,
                    weight_decay=settings.weight_decay,
                    use_ema=True,
                    ema_momentum=_AVERAGED,
                    ema_overwrite_frequency=steps,
                ),
                highest_rate=highest,
                rate="tuning_rate",
            )
        ],
        after=whole,
        augmentation=augmentation.flips_and_crops,
        **classifier,
    )
    after = run.test(tuned, data.test)
    run.explain(FINE_TUNED, data.test, {"before": whole, "after": tuned})
    right = {each.name: each.best_row["val_accuracy"] for each in (linear, tuned)}
    gained = gains(right)
    run.keep(EXPORTED, tuned if gained else whole)
    run.finish(
        {
            "test_accuracy": (after if gained else before).accuracy,
            "test_accuracy_linear": before.accuracy,
            "test_accuracy_fine_tuned": after.accuracy,
            "validation_accuracy_linear": right[LINEAR],
            "validation_accuracy_fine_tuned": right[FINE_TUNED],
            "largest_class": evidence.largest_class(before.record())[1],
            "fine_tuned_exported": float(gained),
            "features_standardised": 1.0,
            "extraction_seconds": features.seconds + test_features.seconds,
        }
    )


def gains(right: Mapping[str, float]) -> bool:
    """Whether fine-tuning gets more of the validation images right, from the share of each network."""
    return right[FINE_TUNED] > right[LINEAR]


def learnt(findings: Findings) -> list[str]:
    """Say what both models get right, which one is exported, and why."""
    metrics, networks = findings.metrics, findings.networks
    linear, tuned = networks[LINEAR], networks[FINE_TUNED]
    gained = bool(metrics["fine_tuned_exported"])
    better = "more than" if gained else "no more than"
    images = tuned["validation_images"]
    return [
        *findings.caveats,
        f"The linear layer on stored features gets {evidence.accuracy(linear['test'])} of the"
        f" {linear['test']['images']:,} test images right, the fine-tuned network"
        f" {evidence.accuracy(tuned['test'])}; {evidence.guessing(linear['test'], linear['labels'])}."
        f" {evidence.pairs(findings, LINEAR, findings, FINE_TUNED, words=('before', 'after fine-tuning'))}",
        f"The {'fine-tuned network' if gained else 'simpler model, with the linear layer,'} is exported: of"
        f" the {images:,} validation images fine-tuning gets"
        f" {round(images * metrics['validation_accuracy_fine_tuned']):,} right, {better} the"
        f" {round(images * metrics['validation_accuracy_linear']):,} before. The test images had no part in"
        f" that choice. {evidence.ONE_RUN}",
        _calibration(networks[EXPORTED]),
        f"Computing the features took {duration(metrics['extraction_seconds'])}, the linear layer"
        f" {duration(linear['seconds'])}, fine-tuning {duration(tuned['seconds'])}."
        f"{evidence.meanwhile(linear, tuned)}",
    ]


def _calibration(exported: Mapping[str, Any]) -> str:
    """What the temperature does to the probabilities of the test images."""
    test = exported["test"]
    return (
        "Its probabilities are calibrated: a temperature of"
        f" {exported['temperature']:.2f} was fitted on the validation images. On the test images probability"
        f" and accuracy differ by {percent(test['calibration_error'])} (expected calibration error; without"
        f" the temperature by {percent(test['calibration_error_raw'])})."
    )


def _pooled(backbone: "keras.Model") -> "keras.Model":
    """Images, 0 to 255, to the mean of each channel of the backbone's features, float32 [N, C]."""
    from keras import Model, layers

    pooled = layers.GlobalAveragePooling2D(name="pooled")(backbone.output)
    return Model(backbone.input, pooled, name=f"{backbone.name}-pooled")


def _linear(
    shape: tuple[int, ...], units: int, output: Output, spread: "Spread", penalty: float
) -> "keras.Model":
    """Features, standardised, to what a last layer gives: a linear probe, its squared weights penalised."""
    from keras import Input, Sequential, layers, regularizers

    from keraserve_training.pretrained import standardising

    activation = "softmax" if output == "softmax" else None
    regularizer = regularizers.L2(penalty)
    last = layers.Dense(units, activation, kernel_regularizer=regularizer, name="linear")
    return Sequential([Input(shape), standardising.layer(spread), last])
