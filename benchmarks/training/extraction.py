"""`make bench-training`: the time of feature extraction, of epochs on stored features, and of two precisions.

The ways of a comparison have to give the same results before they are timed: extraction from image files, the
source documents' way, and the network alone; an epoch on stored features, on the same in memory, and with the
frozen network run again, also for VGG16; float32 and bfloat16, with its cost in accuracy. Also the time of
each network of the source documents.
"""

import importlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import measuring_ways
import network_times
import numpy as np
import numpy.typing as npt
import source_document
import typer
from measuring_ways import Comparison
from PIL import Image
from rich.console import Console

from keraserve_training import profiles, runtime, statistics
from keraserve_training.data import datasets, examples, procedural
from keraserve_training.data.image_files import ImageFiles
from keraserve_training.data.images import Images
from keraserve_training.errors import DataUnavailableError, OptionError, TrainingError
from keraserve_training.pretrained import backbones, bfloat16, folding
from keraserve_training.pretrained.backbones import Backbone

_MODULES = {
    "inceptionv3": "inception_v3",
    "inceptionresnetv2": "inception_resnet_v2",
    "densenet121": "densenet",
    "nasnetmobile": "nasnet",
}
_FEW = 4000  # training images, for all comparisons but one
_READY = 512  # images in memory for the network alone
_HEAD_BATCH, _HEAD_EPOCHS, _HEAD_SEEDS = 50, 15, 5


@dataclass(frozen=True)
class Bench:
    """The network and the images that are measured."""

    backbone: Backbone
    train: ImageFiles
    test: ImageFiles
    classes: int
    rounds: int
    scratch: Path

    def extract(self, images: ImageFiles, *, mixed: bool = False, backbone: Backbone | None = None) -> Any:
        """Extract as a run does, without stored features."""
        from keraserve_training.pretrained import features

        shutil.rmtree(self.scratch / "features", ignore_errors=True)
        model = (backbone or self.backbone).model
        return features.extract(
            model, images, store=self.scratch / "features", name="bench", mixed_precision=mixed
        ).features

    def network_alone(self, network: Any) -> Callable[[], Any]:
        """A way that runs `network` on tensors in memory, as many as there are images."""
        import tensorflow as tf

        from keraserve_training.learning.feed import evaluation_batch

        batch = evaluation_batch(self.train.shape)
        few = np.arange(min(_READY, len(self.train)))
        ready = [images for images, _ in self.train.batches(few, batch)]

        def alone() -> None:
            look = tf.function(lambda images: network(images, training=False))
            seen, place = 0, 0
            while seen < len(self.train):
                seen += len(look(ready[place % len(ready)]))
                place += 1

        return alone


def from_files(bench: Bench) -> Comparison:
    """Compare extraction from files with the source documents' way and with the network alone."""
    network = bench.backbone.network
    bare = bench.backbone.model.get_layer(network.name)
    module = importlib.import_module(f"keras.applications.{_MODULES.get(network.name, network.name)}")

    def theirs(images: ImageFiles) -> npt.NDArray[np.float32]:
        target = bench.scratch / "features.npz"
        return source_document.extract(
            bare, module.preprocess_input, images.files, bench.backbone.size, target
        )

    few = bench.train.first(64)
    ours = bench.extract(few).read(np.arange(len(few)))
    direct = np.concatenate([bench.backbone.model(part) for part, _ in few.batches(np.arange(len(few)), 64)])
    # Folded or not, float32 differs from float64 by 4e-6 on average, and by 1e-3 where large terms cancel.
    difference, alike = float(np.abs(ours - direct).max() / np.abs(direct).max()), _alike(ours, theirs(few))
    if difference > 1e-3 or alike < 0.99:
        raise TrainingError(f"The ways disagree: {difference:.2g} of the largest, {alike:.4f} alike.")
    ways = {
        "from files, stored (ours)": lambda: bench.extract(bench.train),
        "source documents' way": lambda: theirs(bench.train),
        "the network alone, on ready tensors": bench.network_alone(bench.backbone.model),
        "the same, normalization folded": bench.network_alone(folding.folded(bench.backbone.model)),
    }
    notes = [
        f"Ours differs from the network by at most {difference:.1g} of the largest feature; the source"
        f" documents' way, which rounds the resized pixels, gives features {alike:.4f} alike (cosine)."
    ]
    title = f"Extraction, {len(bench.train):,} images at {bench.backbone.size} px, {network.title}"
    return measuring_ways.compare(title, "images", len(bench.train), ways, bench.rounds, notes)


def epochs(bench: Bench, other: Backbone | None = None) -> Comparison:
    """Compare an epoch on stored features with one on the same in memory, and one that runs the network.

    Args:
        bench: the network and the images.
        other: a large network with random weights, which gets a twentieth of the images.
    """
    import keras

    from keraserve_training.learning.compose import join
    from keraserve_training.learning.feed import Feed

    backbone = other or bench.backbone
    train = bench.train.sized(backbone.size)
    if other:
        train = train.first(max(64, len(train) // 20))
    features = bench.extract(train, backbone=backbone)
    in_memory = Images(_values(features), features.labels)
    head = _head(features.shape, bench.classes, seed=1)
    whole = join(backbone.model, head)
    whole.layers[-2].trainable = False
    (rows, _), (images, _) = (next(iter(inputs.batches(np.arange(32), 32))) for inputs in (features, train))
    difference = float(np.abs(head(rows) - whole(images)).max())
    seen = backbone.model(images, training=False)
    apart = float(np.abs(rows - seen).max() / np.abs(seen).max())  # probabilities may all be 0 or 1
    if max(10 * difference, apart) > 1e-3:
        raise TrainingError(
            f"Stored features and the network run again differ: {difference:.2g}, {apart:.2g}."
        )

    def epoch(model: Any, inputs: examples.Examples) -> Callable[[], Any]:
        loss = keras.losses.SparseCategoricalCrossentropy()
        feed = Feed(inputs, _HEAD_BATCH)
        model.compile(loss=loss, optimizer="rmsprop", steps_per_execution=min(25, feed.steps))
        return lambda: model.fit(feed.epoch(0, 0), verbose=0, shuffle=False)

    ways = {
        "on stored features": epoch(head, features),
        "on the same in memory": epoch(head, in_memory),
        "with the frozen network run again": epoch(whole, train),
    }
    notes = [f"Both networks give the same probabilities (at most {difference:.1g} apart)."]
    random = " with random weights" if other else ""
    title = (
        f"An epoch of the head, {len(train):,} images at {backbone.size} px, {backbone.network.title}{random}"
    )
    return measuring_ways.compare(title, "images", len(train), ways, bench.rounds, notes)


def precisions(bench: Bench, other: Backbone | None = None) -> Comparison:
    """Compare float32 with bfloat16: speed, and the accuracy of a head that is trained on the features.

    Args:
        bench: the network and the images.
        other: a network with random weights, of which only the speed is measured.
    """
    backbone = other or bench.backbone
    train = bench.train.sized(backbone.size)
    if other:
        train = train.first(max(64, len(train) // 8))
    notes = [] if other else [_cost_of_rounding(bench)]
    few = train.first(64)
    exact, rounded = (_values(bench.extract(few, mixed=mixed, backbone=backbone)) for mixed in (False, True))
    notes.append(f"Their features are {_alike(exact, rounded):.4f} alike (cosine).")
    ways = {
        "float32": lambda: bench.extract(train, backbone=backbone),
        "bfloat16": lambda: bench.extract(train, mixed=True, backbone=backbone),
    }
    random = " with random weights" if other else ""
    title = f"Extraction in two precisions, {backbone.network.title}{random} at {backbone.size} px"
    return measuring_ways.compare(title, "images", len(train), ways, bench.rounds, notes)


def _cost_of_rounding(bench: Bench) -> str:
    """Train the same heads on features of both precisions; returns a sentence on their accuracies."""
    reached: list[list[float]] = []
    for mixed in (False, True):
        parts = []
        for images in (bench.train, bench.test):
            extracted = bench.extract(images, mixed=mixed)
            # The next extraction empties the store. This head needs only the means over height and width.
            parts.append((_values(extracted).mean(axis=(1, 2)), extracted.labels))
        reached.append([_accuracy(parts[0], parts[1], bench.classes, seed) for seed in range(_HEAD_SEEDS)])
    cost = statistics.mean_interval([own - other for own, other in zip(*reached, strict=True)])
    exact, rounded = (100 * sum(values) / len(values) for values in reached)
    return (
        f"A head that is trained on them classifies {exact:.2f} % (float32) and {rounded:.2f} % (bfloat16) of"
        f" {len(bench.test):,} test images correctly: bfloat16 costs {100 * cost.mean:.2f} points (95 %"
        f" interval over {cost.count} seeds: {100 * cost.low:.2f} to {100 * cost.high:.2f})."
    )


def _accuracy(train: Any, test: Any, classes: int, seed: int) -> float:
    """The test accuracy of a last layer; `train` and `test` are (means, labels)."""
    import keras

    keras.utils.set_random_seed(seed)
    head: Any = keras.Sequential([keras.Input(train[0].shape[1:]), keras.layers.Dense(classes, "softmax")])
    head.compile("adam", keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
    head.fit(*train, batch_size=_HEAD_BATCH, epochs=_HEAD_EPOCHS, verbose=0)
    return float(head.evaluate(*test, batch_size=500, verbose=0)[1])


def _head(shape: tuple[int, ...], classes: int, seed: int) -> Any:
    """The head of source document 001."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(100, min(2, *shape[:2])),
            layers.Dropout(0.4),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.3),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def _values(features: Any) -> npt.NDArray[np.float32]:
    return np.concatenate([rows.numpy() for rows, _ in features.batches(np.arange(len(features)), 256)])


def _alike(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    one, other = first.ravel().astype(np.float64), second.ravel().astype(np.float64)
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _images(data: Path | None, most: int, scratch: Path, tell: Callable[[str], None]) -> Any:
    """The user's images, or CIFAR-10's as JPEG files, or procedural ones if CIFAR-10 is not available."""
    if data is not None:
        return datasets.class_folders(data, profiles.FULL, tell)
    try:
        source = datasets.cifar10(profiles.FULL, tell)
        parts: list[Any] = [examples.limited(source.train, most), examples.limited(source.test, _FEW)]
    except DataUnavailableError as error:
        tell(f"{error} Procedural images are used: their accuracies mean nothing.")
        parts = [procedural.images(most, classes=10, size=(32, 32), channels=3, seed=seed) for seed in (1, 2)]
    for part, images in zip(("train", "test"), parts, strict=True):
        shown = images.show(np.arange(len(images)))
        for number, (image, label) in enumerate(zip(shown, images.labels, strict=True)):
            file = scratch / "images" / part / f"{label}" / f"{number:05}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file, quality=95)
    return datasets.class_folders(scratch / "images", profiles.FULL, lambda _: None)


def main(
    data: Annotated[Path | None, typer.Option(help="class folders, like CIFAR-10's as JPEG")] = None,
    backbone: Annotated[str, typer.Option(help="the network")] = "mobilenet",
    alpha: Annotated[float | None, typer.Option(help="its width, of MobileNet")] = 0.25,
    image_size: Annotated[int, typer.Option(help="pixels a side")] = 160,
    weights: Annotated[str, typer.Option(help="imagenet, random or a file")] = "imagenet",
    images: Annotated[int, typer.Option(help="training images at most")] = 10_000,
    rounds: Annotated[int, typer.Option(help="rounds of each way, interleaved")] = 5,
    also: Annotated[str, typer.Option(help="a large network whose precisions are timed too")] = "inceptionv3",
    output: Annotated[Path, typer.Option(help="folder of the results")] = Path("runs/bench"),
) -> None:
    """Measure extraction, epochs and precisions, and write `training.json` and `training.md`."""
    console = Console()
    tell = lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True)  # noqa: E731
    settings = {"backbone": backbone, "alpha": alpha, "size": image_size, "images": images, "rounds": rounds}
    runtime.prepare()
    output.mkdir(parents=True, exist_ok=True)
    # Next to the results, as a temporary folder may be in memory, which is faster than a disk.
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=output) as scratch:
        try:
            built = backbones.build(backbone, size=image_size, weights=weights, alpha=alpha, tell=tell)
            found = _images(data, images, Path(scratch), tell).sized(image_size)
            train, test = examples.limited(found.train, images), examples.limited(found.test, _FEW)
            many = Bench(built, train, test, len(found.classes), rounds, Path(scratch))
            bench = replace(many, train=examples.limited(train, _FEW))
            vgg16 = backbones.build("vgg16", size=224, weights="random")
            comparisons = [from_files(each) for each in ([many] if len(train) <= _FEW else [bench, many])]
            comparisons += [epochs(bench), epochs(bench, vgg16)]
            try:
                bfloat16.check()
            except OptionError as error:
                tell(str(error))
            else:
                comparisons.append(precisions(bench))
                size = max(139, backbones.find(also).least)
                other = backbones.build(also, size=size, weights="random")
                comparisons.append(precisions(bench, other))
            comparisons.append(network_times.compare(max(64, len(bench.train) // 20), rounds))
        except TrainingError as error:
            console.print(f"[red]{error}[/red]")
            sys.exit(1)
        settings |= {"images": len(train), "data": found.origin}
        tell(measuring_ways.write(output, settings, comparisons))
    tell(f"{output / 'training.json'} and {output / 'training.md'}")


if __name__ == "__main__":
    typer.run(main)
