"""What bfloat16 gives, and what it changes: versions in float32 and in bfloat16, in turns, in one process.

    python benchmarks/serving/mixed_precision.py
    python benchmarks/serving/mixed_precision.py VERSION… --images FOLDER

Without a VERSION (`models/NAME/1`), on networks with random weights, folded, as `keraserve-train` exports
them, and as Keras makes them; what changes in their probabilities would mean nothing. A version is loaded as
the model server loads it, and runs JPEGs in batches on one thread. An image's cost is the processor time of
this process, which other programs on the machine change less than its duration.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

from keraserve_embedded.models.loaded_version import LoadedVersion
from keraserve_embedded.models.signature import Signature
from keraserve_embedded.quiet_tensorflow import set_threads
from keraserve_models.exporting import signatures
from keraserve_protocol.signatures import IMAGE_BYTES
from keraserve_training import runtime
from keraserve_training.pretrained import backbones, folding

NETWORKS = (
    ("mobilenet", 0.25, 128),
    ("mobilenet", 1.0, 224),
    ("resnet50v2", None, 224),
    ("inceptionv3", None, 139),
    ("xception", None, 150),
)
CLASSES = 10


def random_versions(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write each network with a linear layer, folded and not; gives its title and folder."""
    import keras

    for name, alpha, size in NETWORKS:
        backbone = backbones.build(name, size=size, weights="random", alpha=alpha)
        images = keras.Input((size, size, 3))
        seen = backbone.model(keras.layers.Rescaling(1 / 127.5, -1)(images), training=False)
        pooled = keras.layers.GlobalAveragePooling2D()(seen)
        model = keras.Model(images, keras.layers.Dense(CLASSES, "softmax")(pooled))
        ways: dict[str, Callable[[Any], Any]] = {"folded": folding.folded, "not folded": lambda whole: whole}
        for way, change in ways.items():
            title = f"{backbone.network.title}{f' {alpha}' if alpha else ''}, {size} px, {way}"
            place = folder / title / "1"
            network = signatures.Network.of_keras(change(model))
            signatures.save(place, network, [f"class-{number}" for number in range(CLASSES)])
            yield title, place


def random_images(count: int) -> list[bytes]:
    """Smooth JPEGs of 160 by 120 pixels."""
    draw, images = np.random.default_rng(1), list[bytes]()
    for _ in range(count):
        content, pixels = io.BytesIO(), draw.uniform(0, 255, (12, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC).save(content, "JPEG", quality=92)
        images.append(content.getvalue())
    return images


def rate(signature: Signature, batches: list[Any], seconds: float) -> float:
    """Images for a second of processor time."""
    began, until, images = time.process_time(), time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        batch = batches[images // len(batches[0]) % len(batches)]
        signature.run({IMAGE_BYTES: batch})
        images += len(batch)
    return images / (time.process_time() - began)


def measure(title: str, folder: Path, images: list[bytes], options: argparse.Namespace) -> str:
    """A row of the table."""
    loaded = [LoadedVersion(folder.parent.name, 1, folder, bfloat16=on) for on in (False, True)]
    ways = [version.signatures[IMAGE_BYTES] for version in loaded]
    whole = len(images) // options.batch * options.batch
    batches = [np.array(images[at : at + options.batch], object) for at in range(0, whole, options.batch)]
    exact, rounded = (
        np.concatenate([way.run({IMAGE_BYTES: batch})["probabilities"] for batch in batches]) for way in ways
    )
    rates = [[rate(way, batches, options.seconds) for way in ways] for _ in range(options.rounds)]
    ratios = [new / old for old, new in rates]
    other = int(np.sum(exact.argmax(axis=1) != rounded.argmax(axis=1)))
    changes = f"{np.abs(exact - rounded).max():.3f} | {other} of {len(exact)}" if options.versions else "|"
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return (
        f"| {title} | {median(old for old, _ in rates):,.0f} | {median(ratios):.2f} ({spread}) | {changes} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("versions", type=Path, nargs="*", metavar="VERSION")
    parser.add_argument("--images", type=Path, help="a folder of JPEGs, also in its folders")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each way in a round")
    options = parser.parse_args()
    set_threads(1, -1)
    runtime.prepare()
    files = sorted(options.images.rglob("*.jpg")) if options.images else []
    images = [file.read_bytes() for file in files] or random_images(64)
    print("| version | float32, images/core-second | bfloat16, of that | largest change | other class |")
    print("|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as temporary:
        given = ((folder.parent.name, folder) for folder in options.versions)
        for title, folder in given if options.versions else random_versions(Path(temporary)):
            print(measure(title, folder, images, options), flush=True)


if __name__ == "__main__":
    main()
