"""What the experiments of source document 004 share: the division of the images, and the first stage."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keraserve_training import settings as declare
from keraserve_training.data.examples import limited, split
from keraserve_training.learning import outputs
from keraserve_training.learning.optimizers import optimizer as made
from keraserve_training.settings import Settings

if TYPE_CHECKING:
    import keras

    from keraserve_training.data.dataset import Dataset
    from keraserve_training.data.image_files import ImageFiles
    from keraserve_training.data.images import Images
    from keraserve_training.learning.fit import Loop, Trained
    from keraserve_training.run import Run


SIZE = 150
FROZEN = "frozen"
_LEARNING, _ASIDE = 0.4, 0.1  # of all images; as many as are set aside are test images
_OWN_ASIDE = 0.2  # of a user's training images


@dataclass(frozen=True)
class Frozen(Settings):
    """Those of the document's first stage."""

    epochs: int = declare.epochs(20, "Epochs with the network frozen.")
    learning_rate: float = declare.rate(1e-3, "Learning rate with the network frozen.")
    optimizer: str = declare.optimizer("adam")
    batch: int = declare.batch(32)
    dropout: float = declare.dropout(0.2, "Share of the features that is dropped.")
    rotation: float = declare.setting(0.1, "How far images are turned: part of a full turn.", low=0, high=0.5)


def parts(data: "Dataset", seed: int) -> "tuple[Images | ImageFiles, ...]":
    """Training, validation and test images.

    Of the public ones 40, 10 and 10 %, as in the source document; of a user's own, which are few, all: a
    fifth of the training images becomes the validation images.
    """
    if data.kind == "folder":
        return *split(data.train, _OWN_ASIDE, seed), data.test
    count = len(data.train) + len(data.test)
    rest, aside = split(data.train, round(_ASIDE * count), seed)
    return limited(rest, round(_LEARNING * count), seed), aside, data.test


def fit_frozen(
    run: "Run", backbone: "keras.Model", data: "Dataset", settings: Frozen, loop: "Loop | None" = None
) -> "Trained":
    """Train a new last layer on top of a frozen network: the document's first stage.

    Args:
        run: stores it as `frozen`.
        backbone: images, 0 to 255, to features; it is copied.
        data: of the backbone's size.
        settings: of the stage.
        loop: trains an epoch in place of `model.fit`.
    """
    from keraserve_training.learning.fit import Phase

    learning, aside, _ = parts(data, run.seed)
    units, output = outputs.classifier(len(data.classes))
    return run.fit(
        FROZEN,
        build=lambda: _network(backbone, units, output, settings),
        train=learning,
        validation=aside,
        phases=[
            Phase(
                "frozen",
                settings.epochs,
                made(settings.optimizer, settings.learning_rate),
                frozen=lambda model: [model.get_layer(backbone.name)],
            )
        ],
        labels=data.classes,
        output=output,
        batch=settings.batch,
        loop=loop,
    )


def _network(backbone: "keras.Model", units: int, output: outputs.Output, settings: Frozen) -> "keras.Model":
    """Augmentation, a copy of the backbone, which scales the images itself, and a new last layer."""
    from keras import Input, Model, layers

    from keraserve_training.learning import rules

    inputs = Input(backbone.input_shape[1:])
    features = rules.clone(backbone)(augmentation(settings.rotation)(inputs), training=False)
    pooled = layers.Dropout(settings.dropout)(layers.GlobalAveragePooling2D()(features))
    return Model(inputs, layers.Dense(units, activation="softmax" if output == "softmax" else None)(pooled))


def augmentation(rotation: float, seed: int | None = None) -> "keras.Model":
    """Random flips and rotations, in training only. Seed None: it follows from the run's."""
    from keras import Sequential, layers

    flip, turn = layers.RandomFlip("horizontal", seed=seed), layers.RandomRotation(rotation, seed=seed)
    return Sequential([flip, turn], name="augmentation")
