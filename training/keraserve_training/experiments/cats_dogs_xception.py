"""Source document 004: a new last layer on a frozen Xception tells cats from dogs; then all is fine-tuned."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from keraserve_training import settings as declare
from keraserve_training.data import datasets
from keraserve_training.errors import UnknownVariantError
from keraserve_training.experiment import Comparison, Experiment, Figure, Servable, Study
from keraserve_training.experiments._cats_dogs import FROZEN, SIZE, Frozen, augmentation, fit_frozen, parts
from keraserve_training.learning.optimizers import optimizer as made
from keraserve_training.number_format import duration, points, value
from keraserve_training.records import evidence
from keraserve_training.records.findings import Findings

if TYPE_CHECKING:
    from keraserve_training.data.image_files import ImageFiles
    from keraserve_training.data.images import Images
    from keraserve_training.run import Run

FINE_TUNED = "fine-tuned"
_SHOWN = 9
_VARIANT = "as-is"


@dataclass(frozen=True)
class Settings(Frozen):
    """Those of both stages."""

    tuning_epochs: int = declare.epochs(10, "Epochs of fine-tuning.")
    tuning_rate: float = declare.rate(1e-5, "Learning rate of fine-tuning.", below="learning_rate")
    thaw: str = declare.thaw(declare.ALL, "First layer of the network that is fine-tuned.")


def cats_dogs_xception() -> Experiment:
    """Transfer and fine-tuning, with augmentation inside the model.

    Task: tells cats from dogs. 40 % of the images are for training, 10 % for validation, 10 % for the test;
        150 by 150 pixels, flipped and rotated at random. Xception frozen below a new last layer for 20 epochs
        (Adam), then all of it for 10 at a rate of 1e-5, BatchNormalization in inference mode. A user's own
        images are all used: a fifth of the training images is for validation.
    Command: `keraserve-train run cats-dogs-xception`
    Expected: test accuracy before and after fine-tuning as in `expected_ranges.json` (ranges of full runs);
        the source document prints no number, only that fine-tuning is "a good improvement".
    Hardware: two processor cores; not measured with Xception. With `--backbone mobilenet --alpha 0.25` and
        2,199 images an epoch took 35 to 120 seconds.
    """
    return Experiment(
        name="cats-dogs-xception",
        source="004",
        title="Cats and dogs: Xception frozen, then fine-tuned",
        task=(
            "Xception, frozen, with a new last layer learns to tell cats from dogs, from images that are"
            " flipped and turned at random; then all of it goes on learning at a very low rate."
        ),
        data="cats vs dogs",
        weights="imagenet",
        figures=(
            Figure("test_accuracy", "Test accuracy after fine-tuning", "not printed"),
            Figure("test_accuracy_frozen", "Test accuracy, network frozen", "not printed"),
            Figure("gain", "Gain of fine-tuning, test accuracy", "“a good improvement”", "points"),
            Figure("epoch_seconds_frozen", "Time of an epoch, network frozen", "not printed", "seconds"),
            Figure("epoch_seconds_fine_tuned", "Time of an epoch, fine-tuning", "not printed", "seconds"),
        ),
        parameters=20_863_529,
        run=train,
        servables=(Servable("cats-dogs-xception", FINE_TUNED, "Tells cats from dogs."),),
        learnt=learnt,
        phrases={
            "Xception": "network",
            "tell cats from dogs": "classes",
            "Tells cats from dogs": "classes",
            "Cats and dogs": "data",
        },
        takes=("data", "backbone", "alpha", "weights", "image_size", "strategy"),
        settings=Settings,
        study=Study(
            title="Does fine-tuning help?",
            variants=(_VARIANT,),
            meaning=_meaning,
            settings=_settings,
            comparisons=(Comparison("", "gain", ("test_accuracy", "test_accuracy_frozen")),),
            explanation=(
                "Each piece trains the last layer below which the network is frozen, and then fine-tunes the"
                " whole, as the source document does. The seed changes the last layer's initial weights,"
                " which images are set aside, and the order and augmentation of the others; the test"
                " images stay the same."
            ),
            subject="fine-tuning",
        ),
    )


def train(run: "Run", settings: Settings) -> None:
    """Show some training images; train with the network frozen, fine-tune a copy of the result, test both."""
    from keraserve_training.learning import rules
    from keraserve_training.learning.fit import Phase

    backbone = run.backbone("xception", size=SIZE)
    backbone.check_thaw(settings.thaw)
    data = run.load(datasets.cats_dogs).sized(backbone.size)
    learning, aside, test = parts(data, run.seed)
    _show(run, learning, data.classes, settings)
    frozen = fit_frozen(run, backbone.model, data, settings)
    fine_tuned = run.fit(
        FINE_TUNED,
        build=lambda: rules.clone(frozen.model),
        train=learning,
        validation=aside,
        phases=[
            Phase(
                "fine-tuned",
                settings.tuning_epochs,
                made(settings.optimizer, settings.tuning_rate),
                frozen=lambda model: rules.before(model, settings.thaw),
                rate="tuning_rate",
            )
        ],
        batch=settings.batch,
        labels=data.classes,
        output=frozen.output,
        after=frozen,
        reused=lambda model: [model.get_layer(backbone.model.name)],
    )
    before, after = run.test(frozen, test), run.test(fine_tuned, test)
    run.explain(fine_tuned.name, test, {"before": frozen, "after": fine_tuned})
    run.finish(
        {
            "test_accuracy": after.accuracy,
            "test_accuracy_frozen": before.accuracy,
            "gain": after.accuracy - before.accuracy,
            "test_loss": after.loss,
            "test_loss_frozen": before.loss,
            "test_images": len(test),
            "epoch_seconds_frozen": median(row["seconds"] for row in frozen.rows),
            "epoch_seconds_fine_tuned": median(row["seconds"] for row in fine_tuned.rows),
        }
    )


def learnt(findings: Findings) -> list[str]:
    """Say what fine-tuning gained, whether that is more than chance, and how long it took."""
    metrics, networks = findings.metrics, findings.networks
    frozen, tuned = networks[FROZEN], networks[FINE_TUNED]
    learning = [network["phases"][0]["trainable_parameters"] for network in (frozen, tuned)]
    both = evidence.pairs(findings, FROZEN, findings, FINE_TUNED, words=("before", "after fine-tuning"))
    return [
        *findings.caveats,
        f"With the network frozen, {evidence.accuracy(frozen['test'])} of the"
        f" {tuned['test']['images']:,} test images are right; after fine-tuning,"
        f" {evidence.accuracy(tuned['test'])}, {points(metrics['gain'])};"
        f" {evidence.guessing(tuned['test'], tuned['labels'])}. The source document prints no number;"
        " it calls fine-tuning “a good improvement”.",
        f"{both} The test loss went from {value(metrics['test_loss_frozen'], 'loss')} to"
        f" {value(metrics['test_loss'], 'loss')}. {evidence.ONE_RUN}",
        f"An epoch took {duration(metrics['epoch_seconds_frozen'])} with the network frozen, where"
        f" {learning[0]:,} numbers learn, and {duration(metrics['epoch_seconds_fine_tuned'])} in"
        f" fine-tuning, where {learning[1]:,} do.{evidence.meanwhile(frozen, tuned)}",
    ]


def _show(run: "Run", images: "Images | ImageFiles", classes: tuple[str, ...], settings: Settings) -> None:
    """Nine samples as they are, and nine augmentations of the first as the network gets them."""
    from keraserve_training.drawing import galleries

    few = images.first(_SHOWN)
    shown = few.show(np.arange(len(few)))
    names = [classes[label] for label in few.labels]
    title = "Training images"
    sizes = few.sizes(np.arange(len(few)))
    draw = partial(galleries.samples, title=title, images=shown, labels=names, sizes=sizes)
    run.plot("samples.png", title, draw, "The first nine images, in their own sizes.")

    ((one, _),) = few.batches(np.zeros(1, np.int64), 1)
    augment = augmentation(settings.rotation, run.seed)
    changed = [np.asarray(augment(one, training=True))[0] for _ in range(_SHOWN)]
    first, *rest = [np.rint(image).astype(np.uint8) for image in (one.numpy()[0], *changed)]
    title = "Augmentations of one image"
    draw = partial(galleries.augmentations, title=title, images=rest, original=first)
    run.plot("augmentations.png", title, draw, "As the network gets it: another one in every epoch.")


def _meaning(variant: str) -> str:
    if variant != _VARIANT:
        raise UnknownVariantError(
            f"{variant!r} is no variant of cats-dogs-xception: there is only {_VARIANT!r}; the seed varies."
        )
    return "as in the source document"


def _settings(variant: str) -> Mapping[str, Any]:
    _meaning(variant)
    return {}
