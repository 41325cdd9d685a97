"""Not a test: trains a small network on one or several devices, which are the processor taken several times.

    several_devices.py DEVICES FOLDER       prints what came of it as JSON

Devices can only be made before TensorFlow is used: so this is a process.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from keraserve_training import runtime

runtime.prepare()

import tensorflow as tf  # noqa: E402

DEVICES, FOLDER = int(sys.argv[1]), Path(sys.argv[2])
processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * DEVICES)

import keras  # noqa: E402
import numpy as np  # noqa: E402

from keraserve_training import profiles, progress  # noqa: E402
from keraserve_training.data import procedural  # noqa: E402
from keraserve_training.learning import fit, rules, strategy  # noqa: E402
from keraserve_training.learning.fit import Phase, Plan  # noqa: E402

# 45 images in batches of 8 leave 5 for the last one: not the same number for each device.
IMAGES = procedural.images(45, classes=3, size=(6, 6), channels=1, seed=1)
ORDER = np.arange(len(IMAGES))
BATCH = 8


def build() -> keras.Model:
    """A layer that is frozen at first, and a head."""
    layers = [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, activation="relu", name="reused"),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ]
    return keras.Sequential([keras.Input((6, 6, 1)), *layers])


def plan() -> Plan:
    """A head on a frozen layer, then both, by an optimizer with a memory."""

    def frozen(model: keras.Model) -> list[keras.Layer]:
        return [model.get_layer("reused")]

    phases = [
        Phase("frozen", 1, lambda: keras.optimizers.SGD(1e-1, momentum=0.9), frozen),
        Phase("unfrozen", 2, lambda: keras.optimizers.SGD(1e-2, momentum=0.9)),
    ]
    return Plan("net", build, IMAGES, IMAGES, phases, ("a", "b", "c"), "softmax", batch=BATCH)


class Copying(progress.Show):
    """Copies what a process that is killed after the second epoch would leave."""

    def epoch(self, row: dict[str, Any]) -> None:
        """Copy it then."""
        if row["epoch"] == 2:
            shutil.copytree(FOLDER / "whole", FOLDER / "interrupted")


def train(folder: Path) -> fit.Trained:
    """Train in a folder, or go on there."""
    return fit.fit(folder, plan(), seed=3, profile=profiles.FULL, show=Copying())


def parts(model: keras.Model) -> list[list[list[int]]]:
    """The labels that each device gets of each batch, where every image has its number for a label."""
    batches = IMAGES.relabelled(ORDER.astype(np.int32)).batches(ORDER, BATCH)
    divided = strategy.divided(model, batches)
    local = tf.distribute.get_strategy().experimental_local_results
    return [[part.numpy().tolist() for part in local(each[1])] for each in divided]


def main() -> None:
    """Train, then go on with the copy."""
    with runtime.scope("mirrored" if DEVICES > 1 else None):
        trained, again = train(FOLDER / "whole"), train(FOLDER / "interrupted")
        model: Any = trained.model
        copies = [getattr(weight.value, "values", [weight.value]) for weight in model.weights]
        content = {
            "devices": strategy.devices(model),
            "weights": [weight.numpy().tolist() for weight in model.weights],
            "rows": trained.rows,
            "probabilities": model.predict(IMAGES.batches(ORDER, BATCH), verbose=0).tolist(),
            "parts": parts(model),
            "digests": [rules.digest(each.model.weights) for each in (trained, again)],
            "copies": [[np.asarray(copy).tobytes().hex() for copy in each] for each in copies],
        }
    sys.stdout.write(json.dumps(content))


if __name__ == "__main__":
    main()
