"""Source document 003: VGG16's features of cats and dogs stored once, against VGG16 in every epoch."""

import math
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from keraserve_training import settings as declare
from keraserve_training.data import datasets
from keraserve_training.experiment import Experiment, Figure, Servable
from keraserve_training.learning.optimizers import optimizer as made
from keraserve_training.learning.outputs import Output
from keraserve_training.number_format import duration, percent, size
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings
from keraserve_training.settings import Settings

if TYPE_CHECKING:
    import keras

    from keraserve_training.run import Run

SIZE = 224
HEAD, CLASSIFIER, UNCACHED = "head", "classifier", "uncached"
_IMAGES, _ASIDE = 25_000, 1_924  # in the source document, which learns from the other 23,076
_ALL = f"{_IMAGES:,} images"
_VGG16_BYTES = 7 * 7 * 512 * 4  # of one image's features, float32


@dataclass(frozen=True)
class Head(Settings):
    """Those of the head on stored features; the other network learns at the same rate."""

    epochs: int = declare.epochs(10, "Passes over all images.")
    learning_rate: float = declare.rate(1e-3, "Learning rate.")
    optimizer: str = declare.optimizer("rmsprop")
    batch: int = declare.batch(32)
    units: int = declare.units(400, "Units of the first dense layer.")
    dropout: float = declare.dropout(0.2, "Share of those units that is dropped.")


def cats_dogs_vgg16() -> Experiment:
    """A dense head on the stored features of VGG16, and the same work without storing them, timed.

    Task: tells cats from dogs. VGG16, frozen, computes the features of every image once, at 224 by 224
        pixels, not augmented; a dense head learns from those of 23,076 images with RMSprop, and is tested on
        the other 1,924. The document's other network, with VGG16 inside and a slightly different head, is
        trained for one epoch, to measure an epoch without stored features.
    Choice of ours: 10 epochs; the source document does not say how many.
    Command: `keraserve-train run cats-dogs-vgg16`
    Expected: test accuracy, seconds and bytes as in `expected_ranges.json` (ranges of full runs); the source
        document prints no accuracy, 45 minutes once against an hour an epoch, and 74 MB.
    Hardware: two processor cores; not measured with VGG16. With `--backbone mobilenet --alpha 0.25` the
        features of 2,199 images took 7 seconds.
    """
    return Experiment(
        name="cats-dogs-vgg16",
        source="003",
        title="Cats and dogs: the features of VGG16 stored, and not stored",
        task=(
            "VGG16, frozen, computes the features of every image once, and a dense head learns to tell cats"
            " from dogs from them. How long an epoch takes is compared with a network that has VGG16 inside."
        ),
        data="cats vs dogs",
        weights="imagenet",
        figures=(
            Figure("test_accuracy", "Test accuracy", "not printed"),
            Figure("extraction_seconds", "Storing the features, once", f"45 min ({_ALL})", "seconds"),
            Figure(
                "epoch_seconds_uncached",
                "Training steps of an epoch without them",
                f"1 h ({_ALL})",
                "seconds",
            ),
            Figure("epoch_seconds_cached", "Training steps of an epoch with them", "not printed", "seconds"),
            Figure("ratio", "How many times as long without them", "not printed", "count"),
            Figure("cache_bytes", "Size of the stored features", f"74 MB ({_ALL})", "bytes"),
            Figure("cache_bytes_25000", f"The same for {_ALL}", "74 MB", "bytes"),
        ),
        parameters=24_758_329,
        run=train,
        servables=(Servable("cats-dogs-vgg16", CLASSIFIER, "Tells cats from dogs."),),
        learnt=learnt,
        phrases={
            "VGG16": "network",
            "tell cats from dogs": "classes",
            "Tells cats from dogs": "classes",
            "Cats and dogs": "data",
        },
        takes=("data", "backbone", "alpha", "weights", "image_size", "mixed_precision", "strategy"),
        settings=Head,
    )


def train(run: "Run", settings: Head) -> None:
    """Store the features, train the head on them, put both together; then an epoch without storing."""
    from keraserve_training.learning.fit import Phase

    backbone = run.backbone("vgg16", size=SIZE)
    name = backbone.model.name
    data = run.load(partial(datasets.cats_dogs, test=_ASIDE)).sized(backbone.size)
    features = run.features("train", backbone.model, data.train)
    test_features = run.features("test", backbone.model, data.test)
    units, output = _last(len(data.classes))
    make = made(settings.optimizer, settings.learning_rate)
    # The document has two parts and draws both curves. The second is also the test: nothing is chosen by it.
    head = run.fit(
        HEAD,
        build=lambda: _head(features.shape, units, output, settings),
        train=features,
        validation=test_features,
        phases=[Phase("trained", settings.epochs, make)],
        labels=data.classes,
        output=output,
        batch=settings.batch,
    )
    tested = run.test(head, test_features, data.test)
    run.compose(CLASSIFIER, backbone.model, head, images=data.test, features=test_features)
    uncached = run.fit(
        UNCACHED,
        build=lambda: _uncached(backbone.model, units, output, settings),
        train=data.train,
        validation=data.test,
        phases=[Phase("frozen", 1, make, frozen=lambda model: [model.get_layer(name)])],
        labels=data.classes,
        output=output,
        batch=settings.batch,
    )
    cached_seconds, uncached_seconds = (_epoch_seconds(trained.rows) for trained in (head, uncached))
    images = len(features) + len(test_features)
    stored = features.bytes + test_features.bytes
    run.finish(
        {
            "test_accuracy": tested.accuracy,
            "test_accuracy_uncached": uncached.rows[0]["val_accuracy"],
            "test_images": len(test_features),
            "images": images,
            "extraction_seconds": features.seconds + test_features.seconds,
            "epoch_seconds_cached": cached_seconds,
            "epoch_seconds_uncached": uncached_seconds,
            "ratio": uncached_seconds / cached_seconds,
            "cache_bytes": stored,
            "cache_bytes_25000": stored * _IMAGES / images,
        }
    )


def learnt(findings: Findings) -> list[str]:
    """Say how good the head is, how much time storing the features saves, and how large they are."""
    metrics = findings.metrics
    images, once = round(metrics["images"]), metrics["extraction_seconds"]
    with_them, without = metrics["epoch_seconds_cached"], metrics["epoch_seconds_uncached"]
    head, uncached = findings.networks[HEAD], findings.networks[UNCACHED]
    after = math.ceil(once / (without - with_them)) if without > with_them else None
    pays = f" By these times storing pays from epoch {after} on." if after else ""
    compared = f"{metrics['ratio']:,.1f} times as long.{pays}" if evidence.quiet(head, uncached) else ""
    each = metrics["cache_bytes"] / images
    backbone = findings.networks[CLASSIFIER]["composed_of"][0]
    return [
        *findings.caveats,
        f"The head on stored features gets {evidence.accuracy(head['test'])} of the"
        f" {round(metrics['test_images']):,} test images right;"
        f" {evidence.guessing(head['test'], head['labels'])}. The network with {backbone} inside gets"
        f" {percent(metrics['test_accuracy_uncached'])} after its only epoch. The source document"
        f" draws curves and prints no number. {evidence.ONE_RUN}",
        f"Computing and storing the features of all {images:,} images took {duration(once)}. The training"
        f" steps of an epoch on them, without tracing the graph, take {duration(with_them)}; with {backbone}"
        f" inside they take {duration(without)}"
        + (f", {compared}" if compared else ".")
        + f"{evidence.meanwhile(head, uncached)} The source document says 45 minutes once, against an hour an"
        f" epoch, for {_ALL}.",
        f"The stored features take {size(metrics['cache_bytes'])}, {each:,.0f} bytes an image, so"
        f" {_ALL} would take {size(metrics['cache_bytes_25000'])}. The source document estimates 74"
        " MB for VGG16, counting one bit for each number. They are float32: 7 by 7 by 512 numbers (not"
        f" 515, as it writes) are {_VGG16_BYTES:,} bytes an image,"
        f" {size(_IMAGES * _VGG16_BYTES)} in all, 32 times as much.",
    ]


def _epoch_seconds(rows: list[dict[str, Any]]) -> float:
    """The training steps of an epoch without tracing; with few images, where that is unknown, the epoch."""
    return median(row.get("training_seconds", row["seconds"]) for row in rows)


def _last(classes: int) -> tuple[int, Output]:
    """Units and kind of the last layer: the document's sigmoid for two classes, else a softmax."""
    return (1, "sigmoid") if classes == 2 else (classes, "softmax")


def _head(shape: tuple[int, ...], units: int, output: Output, settings: Head) -> "keras.Model":
    """The head, which learns from stored features, float32 [N, h, w, c]."""
    from keras import Input, Sequential, layers

    return Sequential(
        [
            Input(shape),
            layers.Flatten(),
            layers.Dense(settings.units, activation="relu"),
            layers.Dropout(settings.dropout),
            layers.Dense(20, activation="relu"),
            layers.Dense(units, activation=output),
        ]
    )


def _uncached(backbone: "keras.Model", units: int, output: Output, settings: Head) -> "keras.Model":
    """The network with a copy of the backbone inside: images float32 [N, size, size, 3], 0 to 255."""
    from keras import Input, Model, Sequential, layers

    from keraserve_training.learning import rules

    inputs = Input(backbone.input_shape[1:])
    features = rules.clone(backbone)(inputs, training=False)
    head = Sequential(
        [
            layers.Flatten(),
            layers.Dense(settings.units, activation="relu"),
            layers.Dense(100, activation="relu"),
            layers.Dense(units, activation=output),
        ]
    )
    return Model(inputs, head(features))
